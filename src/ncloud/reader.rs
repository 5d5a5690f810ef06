//! The reader: regions and servers as the cloud describes them now.
//!
//! Owns: pacing and repeating of reads, whole lists, the cloud's clock. Never: calls an action that changes
//! anything, returns half a list, picks one of several servers.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::Retryable as _;
use governor::DefaultDirectRateLimiter;
use reqwest::{Client, Method};

use super::outcome::AnswerBody;
use super::paging::{self, ListError, Next, Pages};
use super::read_error::ReadError;
use super::request::{self, ClientError, Cloud};
use super::wire::{self, Answer, CloudError, Layer, Region, WireError};
use crate::clock::{DRIFT_MAX_MS, Moment, SeenDate};
use crate::config::CloudConfig;
use crate::domain::server::{RegionCode, Server, ServerNo};

/// Most bytes read of a list.
pub const LIST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long the list of regions is believed where nothing was found.
const REGIONS_KEPT: Duration = Duration::from_mins(1);

/// Half of the one-second step of a `Date` header.
const DATE_MIDDLE_MS: i64 = 500;

const REGION_LIST: &str = "getRegionList";
const SERVER_LIST: &str = "getServerInstanceList";
const SERVER_DETAIL: &str = "getServerInstanceDetail";

type WallMs = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Difference between the cloud's clock and ours, from the `Date` of every answer to a read.
#[derive(Debug, Clone, Default)]
pub struct CloudClock(Arc<Mutex<Option<SeenDate>>>);

impl CloudClock {
    /// The newest comparison, good to about a second; `None` before the first answer.
    pub fn date(&self) -> Option<SeenDate> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cloud minus ours in milliseconds; `None` before the first answer.
    pub fn skew_ms(&self) -> Option<i64> {
        self.date().map(|date| date.skew_ms)
    }

    fn observe(&self, date_ms: i64, sent: Moment, received: Moment) {
        // A clock that jumped while the answer was under way cannot be compared with anything.
        if sent.drift_ms(received).abs() > DRIFT_MAX_MS {
            return;
        }
        let ours = sent.wall_ms.midpoint(received.wall_ms);
        let theirs = date_ms.saturating_add(DATE_MIDDLE_MS);
        let seen = SeenDate { skew_ms: theirs.saturating_sub(ours), at: received };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

/// Reads regions and servers.
pub struct Reader {
    cloud: Cloud,
    client: Client,
    timeout: Duration,
    pace: DefaultDirectRateLimiter,
    now_ms: WallMs,
    clock: CloudClock,
    /// The account's regions, and when they were read.
    regions: Mutex<Option<(Instant, Vec<RegionCode>)>>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("cloud", &self.cloud)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn renew_keys(&self, config: &CloudConfig) -> Result<(), ClientError> {
        self.cloud.renew_keys(config)
    }

    /// `now_ms` gives our wall clock in epoch milliseconds; each try is signed with it.
    pub fn new(
        config: &CloudConfig,
        now_ms: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Result<Self, ClientError> {
        let cloud = Cloud::new(config)?;
        let timeout = request::time_limit(config.read_timeout)?;
        let client = request::read_client(&cloud, timeout)?;
        Ok(Self {
            cloud,
            client,
            timeout,
            pace: request::pace(config),
            now_ms: Arc::new(now_ms),
            clock: CloudClock::default(),
            regions: Mutex::default(),
        })
    }

    /// Cloud minus ours in milliseconds; `None` before the first answer.
    pub fn skew_ms(&self) -> Option<i64> {
        self.clock.skew_ms()
    }

    /// The newest `Date` of the cloud against our clock; `None` before the first answer.
    pub fn date(&self) -> Option<SeenDate> {
        self.clock.date()
    }

    /// The clock itself, to be kept by others.
    pub fn clock(&self) -> CloudClock {
        self.clock.clone()
    }

    /// All regions that the keys can see.
    pub async fn regions(&self) -> Result<Vec<Region>, ReadError> {
        let answer = self.read(REGION_LIST, &[], None).await?;
        match answer.unreadable_rows.into_iter().next() {
            Some(row) => Err(ReadError::List { action: REGION_LIST, why: ListError::UnreadableRow(row) }),
            None => {
                let codes = answer.regions.iter().map(|region| region.code.clone()).collect();
                let mut kept = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
                *kept = Some((Instant::now(), codes));
                Ok(answer.regions)
            }
        }
    }

    /// The codes of the account's regions, unless this region is among them; read at most once a minute.
    pub async fn regions_without(&self, region: &RegionCode) -> Result<Option<Vec<RegionCode>>, ReadError> {
        let kept = self.regions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let codes = match kept.filter(|(read, _)| read.elapsed() <= REGIONS_KEPT) {
            Some((_, codes)) => codes,
            None => self.regions().await?.into_iter().map(|listed| listed.code).collect(),
        };
        Ok((!codes.contains(region)).then_some(codes))
    }

    /// All servers of a region, or an error: never a part of them.
    pub async fn all_servers(&self, region: &RegionCode) -> Result<Vec<Server>, ReadError> {
        self.list(region, &[]).await
    }

    /// The servers with these numbers; numbers that do not exist are missing from the result.
    pub async fn servers_by_no(
        &self,
        region: &RegionCode,
        numbers: &[ServerNo],
    ) -> Result<Vec<Server>, ReadError> {
        let rows_max = usize::try_from(paging::PAGE_ROWS).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for chunk in numbers.chunks(rows_max) {
            let keys: Vec<String> = (1..=chunk.len()).map(|n| format!("serverInstanceNoList.{n}")).collect();
            let filter: Vec<(&str, &str)> =
                keys.iter().map(String::as_str).zip(chunk.iter().map(ServerNo::as_str)).collect();
            let servers = self.list(region, &filter).await?;
            found.extend(servers.into_iter().filter(|server| chunk.contains(&server.no)));
        }
        Ok(found)
    }

    /// The servers with this name, whatever its case. Whether the vendor's filter is exact is not documented, so the
    /// names are compared here. The vendor's names are in lower case.
    pub async fn servers_by_name(&self, region: &RegionCode, name: &str) -> Result<Vec<Server>, ReadError> {
        let wanted = name.to_lowercase();
        let mut servers = self.list(region, &[("serverName", name)]).await?;
        servers.retain(|server| server.name.to_lowercase() == wanted);
        Ok(servers)
    }

    /// The servers that the vendor finds for a public or private address.
    pub async fn servers_by_ip(&self, region: &RegionCode, ip: IpAddr) -> Result<Vec<Server>, ReadError> {
        self.list(region, &[("ip", &ip.to_string())]).await
    }

    /// One server, or `None` if there is none with this number.
    pub async fn server(
        &self,
        region: &RegionCode,
        server_no: &ServerNo,
    ) -> Result<Option<Server>, ReadError> {
        let pairs = [("regionCode", region.as_str()), ("serverInstanceNo", server_no.as_str())];
        match self.read(SERVER_DETAIL, &pairs, Some(region)).await {
            Ok(answer) => only(answer, region, server_no),
            // Whether an unknown number gives an empty list or a 400 is not documented: a 400 is believed to
            // mean "none" only when the list has none either.
            Err(
                refused @ ReadError::Refused {
                    status: 400,
                    error: CloudError { layer: Layer::Service, code: _, message: _ },
                    action: _,
                },
            ) => {
                let listed = self.servers_by_no(region, std::slice::from_ref(server_no)).await?;
                if listed.is_empty() { Ok(None) } else { Err(refused) }
            }
            Err(other) => Err(other),
        }
    }

    async fn list(&self, region: &RegionCode, filter: &[(&str, &str)]) -> Result<Vec<Server>, ReadError> {
        let mut pages = Pages::default();
        let mut page_no = Pages::FIRST;
        let page_rows = paging::PAGE_ROWS.to_string();
        loop {
            let page = page_no.to_string();
            let mut pairs = vec![("regionCode", region.as_str())];
            pairs.extend_from_slice(filter);
            pairs.extend([("pageNo", page.as_str()), ("pageSize", page_rows.as_str())]);
            let answer = self.read(SERVER_LIST, &pairs, Some(region)).await?;
            let next =
                pages.add(page_no, answer).map_err(|why| ReadError::List { action: SERVER_LIST, why })?;
            match next {
                Next::Done(servers) => return all_of(region, servers),
                Next::Page(next) => page_no = next,
            }
        }
    }

    /// One read with its repeats.
    async fn read(
        &self,
        action: &'static str,
        pairs: &[(&str, &str)],
        region: Option<&RegionCode>,
    ) -> Result<Answer, ReadError> {
        let mut pairs = pairs.to_vec();
        pairs.push(self.cloud.format_pair());
        let query = request::encode(&pairs);
        (|| self.read_once(action, &query, region))
            .retry(request::repeats())
            .when(ReadError::may_repeat)
            .notify(|error, delay| {
                tracing::debug!(%error, delay_ms = delay.as_millis(), "read is repeated");
            })
            .await
    }

    /// One try, signed afresh.
    async fn read_once(
        &self,
        action: &'static str,
        query: &str,
        region: Option<&RegionCode>,
    ) -> Result<Answer, ReadError> {
        if !self.cloud.has_keys() {
            return Err(ReadError::without_keys(action));
        }
        self.pace.until_ready().await;
        let url = self.cloud.url(action, Some(query));
        let moment = || Moment { mono: Instant::now(), wall_ms: (self.now_ms)() };
        let sent = moment();
        let headers = self.cloud.sign(&Method::GET, &url, sent.wall_ms);
        let request = headers.finish(self.client.get(url)).map_err(|error| self.failed(action, error))?;
        let response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => return Err(self.failed(action, error)),
        };
        if let Some(date_ms) = request::date_ms(&response) {
            self.clock.observe(date_ms, sent, moment());
        }
        let status = response.status().as_u16();
        let unreadable = |why: String| ReadError::Unreadable { action, status, why };
        let bytes = match request::read_capped(response, LIST_BYTES_MAX).await {
            AnswerBody::Complete(bytes) => bytes,
            AnswerBody::Broken { read: _, why } => return Err(ReadError::Broken { action, why }),
            AnswerBody::Oversize(_) => {
                return Err(unreadable(format!("it is longer than {LIST_BYTES_MAX} bytes")));
            }
        };
        let answer = wire::parse(&bytes, region).map_err(|error: WireError| unreadable(error.to_string()))?;
        accepted(action, status, answer)
    }

    fn failed(&self, action: &'static str, error: reqwest::Error) -> ReadError {
        ReadError::of_request(action, error, self.timeout)
    }
}

/// 2xx, the envelope of this action, return code 0.
fn accepted(action: &'static str, status: u16, answer: Answer) -> Result<Answer, ReadError> {
    let error = match (answer.error, answer.return_code.as_deref()) {
        (Some(error), _) => error,
        (None, Some("0") | None) => {
            let fits = answer.envelope.strip_suffix("Response") == Some(action);
            if fits && answer.return_code.is_some() && (200..300).contains(&status) {
                return Ok(Answer { error: None, ..answer });
            }
            return Err(ReadError::Unreadable {
                action,
                status,
                why: format!("{:?} is no success of {action}", answer.envelope),
            });
        }
        (None, Some(code)) => CloudError {
            layer: Layer::Service,
            code: code.to_owned(),
            message: answer.return_message.unwrap_or_default(),
        },
    };
    Err(ReadError::Refused { action, status, error })
}

/// None or one server, and that the one asked for.
/// A list of another region is no list of this one, whatever the numbers in it.
fn all_of(region: &RegionCode, servers: Vec<Server>) -> Result<Vec<Server>, ReadError> {
    match servers.iter().find(|server| server.region != *region) {
        None => Ok(servers),
        Some(stray) => {
            let row = format!("server {} of region {}, asked for {region}", stray.no, stray.region);
            Err(ReadError::List { action: SERVER_LIST, why: ListError::UnreadableRow(row) })
        }
    }
}

fn only(answer: Answer, region: &RegionCode, server_no: &ServerNo) -> Result<Option<Server>, ReadError> {
    let list = |why| ReadError::List { action: SERVER_DETAIL, why };
    if let Some(row) = answer.unreadable_rows.into_iter().next() {
        return Err(list(ListError::UnreadableRow(row)));
    }
    let Some(numbers) = answer.server_numbers else {
        return Err(list(ListError::NoList));
    };
    let mut servers = answer.servers.into_iter();
    match (servers.next(), servers.next()) {
        (None, _) if numbers.is_empty() => Ok(None),
        (Some(server), None) if server.no == *server_no && server.region == *region && numbers.len() == 1 => {
            Ok(Some(server))
        }
        (_, _) => Err(ReadError::WrongServer {
            action: SERVER_DETAIL,
            server_no: server_no.clone(),
            got: numbers.join(", "),
        }),
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
