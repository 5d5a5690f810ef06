//! What both clients need to make a request: where to, with which keys, in which bytes.
//!
//! Never: prints a key. The string that is signed is taken from the address that is sent.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use backon::ExponentialBuilder;
use governor::{DefaultDirectRateLimiter, Quota};
use jiff::SignedDuration;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::DATE;
use reqwest::{Client, Method, Request, RequestBuilder, Response, Url, redirect, retry};
use secrecy::{ExposeSecret as _, SecretString};

use super::outcome::AnswerBody;
use super::signature;
use super::text::chain;
use crate::config::{CloudConfig, ResponseFormat};

/// Tries of a read beyond the first.
const REPEATS_MAX: usize = 2;
const REPEAT_DELAY_MIN: Duration = Duration::from_millis(200);
const REPEAT_DELAY_MAX: Duration = Duration::from_secs(2);

/// Longest wait for a connection.
pub(super) const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(3);

/// Base path of the VPC Server API.
const BASE_PATH: &str = "/vserver/v2";

/// Headers of signature v2. <https://api.ncloud-docs.com/docs/en/compute-vserver>
const TIMESTAMP_HEADER: &str = "x-ncp-apigw-timestamp";
const ACCESS_KEY_HEADER: &str = "x-ncp-iam-access-key";
const SIGNATURE_HEADER: &str = "x-ncp-apigw-signature-v2";

/// How we introduce ourselves.
pub(super) const USER_AGENT: &str = concat!("unhang/", env!("CARGO_PKG_VERSION"));

/// API host of each site.
///
/// Sources: <https://api.ncloud-docs.com/docs/en/compute-vserver>,
/// <https://api-gov.ncloud-docs.com/docs/compute-vserver>, and for `fin` the vendor's Terraform provider.
const SITES: [(&str, &str); 3] = [
    ("public", "https://ncloud.apigw.ntruss.com"),
    ("gov", "https://ncloud.apigw.gov-ntruss.com"),
    ("fin", "https://fin-ncloud.apigw.fin-ntruss.com"),
];

/// The endpoint of `public`, `gov` or `fin`.
pub fn endpoint_for_site(site: &str) -> Option<&'static str> {
    SITES.iter().find(|(name, _)| *name == site).map(|(_, endpoint)| *endpoint)
}

/// Why a client cannot be made from the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not `https://host`, or `http://` to another host than a loopback address.
    #[error(
        "cloud.endpoint must be https://host without path, query or user, or http:// to a loopback address"
    )]
    Endpoint,
    /// The access key is empty or cannot stand in a header.
    #[error("cloud.access_key must be the access key id: visible ASCII characters, not empty")]
    AccessKey,
    /// The secret key is empty.
    #[error("cloud.secret_key must not be empty")]
    SecretKey,
    /// A time limit is not above zero.
    #[error("cloud.timeout and cloud.read_timeout must be above zero")]
    Timeout,
    /// TLS could not be set up; commonly an image without CA certificates.
    #[error("the HTTP client cannot be built (are CA certificates installed?): {0}")]
    Build(String),
}

/// Where the cloud is, with the keys for it.
#[derive(Debug)]
pub(super) struct Cloud {
    origin: Url,
    keys: ArcSwap<Keys>,
    format: ResponseFormat,
}

/// The two halves of our right, always replaced together, and the pair before: its requests may still be answered.
#[derive(Debug)]
struct Keys {
    access: SecretString,
    secret: SecretString,
    before: Option<(SecretString, SecretString)>,
}

impl Cloud {
    pub(super) fn new(config: &CloudConfig) -> Result<Self, ClientError> {
        Self::at(&config.endpoint, config)
    }

    /// Bytes of the cloud in which neither key stands; `None` where none did.
    pub(super) fn without_keys(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.load();
        let before = keys.before.iter().flat_map(|(access, secret)| [access, secret]);
        let all = [&keys.access, &keys.secret].into_iter().chain(before);
        let all = all.map(|key| key.expose_secret().as_bytes()).filter(|key| !key.is_empty());
        all.fold(None, |kept, key| without(kept.as_deref().unwrap_or(bytes), key).or(kept))
    }

    /// Signs with these keys from now on. What is signed already goes as it is.
    pub(super) fn renew_keys(&self, config: &CloudConfig) -> Result<(), ClientError> {
        check_keys(config)?;
        let old = self.keys.load();
        let same = |own: &SecretString, other: &SecretString| own.expose_secret() == other.expose_secret();
        if same(&old.access, &config.access_key) && same(&old.secret, &config.secret_key) {
            return Ok(());
        }
        self.keys.store(Arc::new(Keys {
            access: config.access_key.clone(),
            secret: config.secret_key.clone(),
            before: Some((old.access.clone(), old.secret.clone())),
        }));
        Ok(())
    }

    /// Another host of the same cloud, with the same keys.
    pub(super) fn at(endpoint: &str, config: &CloudConfig) -> Result<Self, ClientError> {
        // Those of a server role come later; until then there are none.
        if config.server_role.is_none() {
            check_keys(config)?;
        }
        let keys =
            Keys { access: config.access_key.clone(), secret: config.secret_key.clone(), before: None };
        Ok(Self {
            origin: origin(endpoint).ok_or(ClientError::Endpoint)?,
            keys: ArcSwap::from_pointee(keys),
            format: config.response_format,
        })
    }

    /// Whether there are keys to sign with.
    pub(super) fn has_keys(&self) -> bool {
        !self.keys.load().access.expose_secret().is_empty()
    }

    /// Plain `http` is only ever a loopback address.
    pub(super) fn is_https(&self) -> bool {
        self.origin.scheme() == "https"
    }

    /// The parameter that asks for a format.
    pub(super) fn format_pair(&self) -> (&'static str, &'static str) {
        let format = match self.format {
            ResponseFormat::Json => "json",
            ResponseFormat::Xml => "xml",
        };
        ("responseFormatType", format)
    }

    /// The address of an action, with an encoded query.
    pub(super) fn url(&self, action: &str, query: Option<&str>) -> Url {
        let mut url = self.origin.clone();
        url.set_path(&format!("{BASE_PATH}/{action}"));
        url.set_query(query);
        url
    }

    /// The address of a path.
    pub(super) fn url_of(&self, path: &str) -> Url {
        let mut url = self.origin.clone();
        url.set_path(path);
        url
    }

    /// The three headers of signature v2 over this very address.
    pub(super) fn sign(&self, method: &Method, url: &Url, timestamp_ms: i64) -> SignedHeaders {
        let path = path_and_query(url);
        let keys = self.keys.load();
        let signature = signature::sign(method.as_str(), &path, timestamp_ms, &keys.access, &keys.secret);
        SignedHeaders {
            timestamp_ms,
            access_key: keys.access.clone(),
            signature: SecretString::from(signature),
        }
    }
}

/// Bytes with `[key]` wherever the key stood; `None` where it did not.
fn without(bytes: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(bytes.len());
    let (mut rest, mut found) = (bytes, false);
    while let Some((first, behind)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(key) {
            kept.extend_from_slice(b"[key]");
            (rest, found) = (after, true);
        } else {
            kept.push(*first);
            rest = behind;
        }
    }
    found.then_some(kept)
}

fn check_keys(config: &CloudConfig) -> Result<(), ClientError> {
    let access_key = config.access_key.expose_secret();
    if access_key.is_empty() || !access_key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ClientError::AccessKey);
    }
    if config.secret_key.expose_secret().is_empty() {
        return Err(ClientError::SecretKey);
    }
    Ok(())
}

/// Headers of signature v2; access key and signature do not show in `Debug`.
#[derive(Debug)]
pub(super) struct SignedHeaders {
    pub(super) timestamp_ms: i64,
    access_key: SecretString,
    signature: SecretString,
}

impl SignedHeaders {
    /// Adds the headers and finishes the request; the secret ones will not show in its `Debug`.
    pub(super) fn finish(&self, builder: RequestBuilder) -> Result<Request, reqwest::Error> {
        let mut request = builder
            .header(TIMESTAMP_HEADER, self.timestamp_ms)
            .header(ACCESS_KEY_HEADER, self.access_key.expose_secret())
            .header(SIGNATURE_HEADER, self.signature.expose_secret())
            .build()?;
        for name in [ACCESS_KEY_HEADER, SIGNATURE_HEADER] {
            if let Some(value) = request.headers_mut().get_mut(name) {
                value.set_sensitive(true);
            }
        }
        Ok(request)
    }
}

/// Path and query exactly as they are sent.
pub(super) fn path_and_query(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// `a=b&c=d` with everything but unreserved characters percent-encoded: `%20`, never `+`, so that the bytes
/// pass every URL library unchanged.
pub(super) fn encode(pairs: &[(&str, &str)]) -> String {
    let encoded: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{}={}", percent(key), percent(value))).collect();
    encoded.join("&")
}

fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(format!("%{byte:02X}").chars());
        }
    }
    out
}

fn origin(endpoint: &str) -> Option<Url> {
    let url = Url::parse(endpoint).ok()?;
    let host = url.host_str()?;
    let loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let secure = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    (bare && secure).then_some(url)
}

/// A time limit above zero.
pub(super) fn time_limit(limit: SignedDuration) -> Result<Duration, ClientError> {
    match Duration::try_from(limit) {
        Ok(limit) if !limit.is_zero() => Ok(limit),
        Ok(_) | Err(_) => Err(ClientError::Timeout),
    }
}

/// A client for reads: no redirect, no proxy, and no repeat but our own, which is signed afresh.
pub(super) fn read_client(cloud: &Cloud, timeout: Duration) -> Result<Client, ClientError> {
    Client::builder()
        .http1_only()
        .https_only(cloud.is_https())
        .no_proxy()
        .retry(retry::never())
        .redirect(redirect::Policy::none())
        .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX))
        .timeout(timeout)
        .user_agent(USER_AGENT)
        .build()
        .map_err(|error| ClientError::Build(chain(&error)))
}

/// How fast one host is read, at most.
pub(super) fn pace(config: &CloudConfig) -> DefaultDirectRateLimiter {
    let per_second = NonZeroU32::new(config.reads_per_second).unwrap_or(NonZeroU32::MIN);
    DefaultDirectRateLimiter::direct(Quota::per_second(per_second))
}

/// When a read that may do better is repeated.
pub(super) fn repeats() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(REPEAT_DELAY_MIN)
        .with_max_delay(REPEAT_DELAY_MAX)
        .with_max_times(REPEATS_MAX)
        .with_jitter()
}

/// The `Date` header in epoch milliseconds.
pub(super) fn date_ms(response: &Response) -> Option<i64> {
    let text = response.headers().get(DATE)?.to_str().ok()?;
    let timestamp = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(timestamp.as_millisecond())
}

/// Reads a body up to a limit.
pub(super) async fn read_capped(mut response: Response, bytes_max: usize) -> AnswerBody {
    let mut read = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if read.len().saturating_add(chunk.len()) > bytes_max => {
                let left = bytes_max.saturating_sub(read.len());
                read.extend(chunk.iter().take(left));
                return AnswerBody::Oversize(read);
            }
            Ok(Some(chunk)) => read.extend_from_slice(&chunk),
            Ok(None) => return AnswerBody::Complete(read),
            Err(error) => {
                let why = chain(&error.without_url());
                return AnswerBody::Broken { read, why };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_have_endpoints() {
        assert_eq!(endpoint_for_site("public"), Some("https://ncloud.apigw.ntruss.com"));
        assert_eq!(endpoint_for_site("gov"), Some("https://ncloud.apigw.gov-ntruss.com"));
        assert_eq!(endpoint_for_site("fin"), Some("https://fin-ncloud.apigw.fin-ntruss.com"));
        assert_eq!(endpoint_for_site("moon"), None);
        assert!(SITES.iter().all(|(_, endpoint)| origin(endpoint).is_some()));
    }

    #[test]
    fn plain_http_goes_to_loopback_only() {
        for good in [
            "https://a.example",
            "https://a.example:8443/",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost:1",
        ] {
            assert!(origin(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "a.example",
            "http://a.example",
            "http://127.0.0.1.example",
            "ftp://localhost",
            "https://a.example/api",
            "https://u:p@a.example",
            "https://a.example?x=1",
        ] {
            assert!(origin(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn encoding_survives_the_address_unchanged() {
        let query = encode(&[("serverName", "a b+c'\"&=%/?#한\u{7f}"), ("x", "-._~")]);
        assert_eq!(query, "serverName=a%20b%2Bc%27%22%26%3D%25%2F%3F%23%ED%95%9C%7F&x=-._~");
        let mut url = Url::parse("https://a.example").unwrap();
        url.set_path("/vserver/v2/getServerInstanceList");
        url.set_query(Some(&query));
        assert_eq!(path_and_query(&url), format!("/vserver/v2/getServerInstanceList?{query}"));
    }
}
