//! Wire formats: the bytes of an answer become our own types.
//!
//! Owns: both formats, both error bodies, the vendor's dates. Never: judges what an answer means for an
//! attempt, drops a server silently, or keeps a text that is not safe to print.
//!
//! Sources: <https://api.ncloud-docs.com/docs/en/compute-vserver-server-interruptserverinstance.md>,
//! <https://api-gov.ncloud-docs.com/docs/api-call-lgc-errorhandling>,
//! <https://api.ncloud-docs.com/docs/en/common-vapidatatype-serverinstance>.

mod json;
pub(super) mod loose;
mod xml;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Deserialize;

use super::text::safe;
use crate::domain::server::{RegionCode, Server, ServerNo};
use loose::{Code, Item, Loose, Rows};

/// How the vendor writes a date: RFC 3339 but for the offset without a colon.
const DATE_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%z";

/// Which of the vendor's two layers spoke. They use the same numbers for different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The API gateway: `{"error":{"errorCode","message","details"}}`
    Gateway,
    /// The server service: `{"responseError":{"returnCode","returnMessage"}}`
    Service,
}

impl Layer {
    /// The word used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Service => "service",
        }
    }
}

/// An error body of the vendor. Code and message are safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudError {
    /// Who refused.
    pub layer: Layer,
    /// `errorCode`, or `returnCode` (or `responseCode`); empty where there is none.
    pub code: String,
    /// `message` and `details`, or `returnMessage` (or `responseMessage`).
    pub message: String,
}

/// One row of `getRegionList`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// `regionCode`
    pub code: RegionCode,
    /// `regionName`
    pub name: String,
}

/// An answer of the vendor, success or error. All texts are safe to print.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Name of the envelope, such as `interruptServerInstanceResponse`; empty on an error body.
    pub envelope: String,
    /// `requestId`; only some answers have one.
    pub request_id: Option<String>,
    /// `returnCode`, `0` on success.
    pub return_code: Option<String>,
    /// `returnMessage`
    pub return_message: Option<String>,
    /// The error body, if it was one.
    pub error: Option<CloudError>,
    /// Numbers in `serverInstanceList` or `serverInstanceNoList`; `None` where the answer has neither list.
    pub server_numbers: Option<Vec<String>>,
    /// The servers that could be read in full.
    pub servers: Vec<Server>,
    /// What was wrong with each row that could not be read: reads must not go on without it.
    pub unreadable_rows: Vec<String>,
    /// `totalRows`
    pub total_rows: Option<u64>,
    /// Rows of `regionList`.
    pub regions: Vec<Region>,
}

/// Why bytes are not an answer of the vendor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Nothing but white space.
    #[error("the answer is empty")]
    Empty,
    /// Not UTF-8.
    #[error("the answer is not UTF-8 text")]
    NotUtf8,
    /// Starts with neither `{` nor `<`.
    #[error("the answer is neither JSON nor XML")]
    NotJsonOrXml,
    /// None, or more than one, of `error`, `responseError`, `…Response`.
    #[error("the answer is not exactly one of error, responseError and a response")]
    NotOneEnvelope,
    /// Broken or unexpected JSON.
    #[error("the answer is not the JSON the vendor documents: {0}")]
    Json(String),
    /// Broken or unexpected XML.
    #[error("the answer is not the XML the vendor documents: {0}")]
    Xml(String),
}

/// Reads the bytes of an answer. A server without a region gets the one that was asked.
pub fn parse(body: &[u8], asked: Option<&RegionCode>) -> Result<Answer, WireError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        tracing::debug!(%error, "cloud answer is not UTF-8");
        WireError::NotUtf8
    })?;
    let text = text.trim_start_matches('\u{feff}').trim();
    let raw = match text.chars().next() {
        None => return Err(WireError::Empty),
        Some('{') => json::parse(text)?,
        Some('<') => xml::parse(text)?,
        Some(_) => return Err(WireError::NotJsonOrXml),
    };
    Ok(match raw {
        Raw::Gateway(error) => Answer::of_error(error.into_cloud_error()),
        Raw::Service(error) => Answer::of_error(error.into_cloud_error()),
        Raw::Response(envelope, response) => response.into_answer(&envelope, asked),
    })
}

impl Answer {
    fn of_error(error: CloudError) -> Self {
        Self { error: Some(error), ..Self::default() }
    }
}

/// The three things that the vendor sends, told apart by their name.
enum Shape {
    GatewayError,
    ServiceError,
    Response,
}

impl Shape {
    fn of(name: &str) -> Option<Self> {
        match name {
            "error" => Some(Self::GatewayError),
            "responseError" => Some(Self::ServiceError),
            name if name.ends_with("Response") => Some(Self::Response),
            _ => None,
        }
    }
}

enum Raw {
    Gateway(RawGatewayError),
    Service(RawServiceError),
    Response(String, Box<RawResponse>),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawGatewayError {
    error_code: Loose,
    message: Loose,
    details: Loose,
}

impl RawGatewayError {
    fn into_cloud_error(self) -> CloudError {
        let parts: Vec<String> = [self.message.0, self.details.0].into_iter().flatten().collect();
        CloudError {
            layer: Layer::Gateway,
            code: safe(&self.error_code.0.unwrap_or_default()),
            message: safe(&parts.join(": ")),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawServiceError {
    #[serde(alias = "responseCode")]
    return_code: Loose,
    #[serde(alias = "responseMessage")]
    return_message: Loose,
}

impl RawServiceError {
    fn into_cloud_error(self) -> CloudError {
        CloudError {
            layer: Layer::Service,
            code: safe(&self.return_code.0.unwrap_or_default()),
            message: safe(&self.return_message.0.unwrap_or_default()),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawResponse {
    request_id: Loose,
    return_code: Loose,
    return_message: Loose,
    total_rows: Loose,
    server_instance_list: Rows<RawServer>,
    server_instance_no_list: Rows<Loose>,
    region_list: Rows<RawRegion>,
}

impl RawResponse {
    fn into_answer(self, envelope: &str, asked: Option<&RegionCode>) -> Answer {
        let mut answer = Answer {
            envelope: safe(envelope),
            request_id: self.request_id.0.map(|text| safe(&text)),
            return_code: self.return_code.0.map(|text| safe(&text)),
            return_message: self.return_message.0.map(|text| safe(&text)),
            total_rows: self.total_rows.0.and_then(|text| text.parse().ok()),
            ..Answer::default()
        };
        if let Some(numbers) = self.server_instance_no_list.0 {
            let numbers = numbers.into_iter().map(|no| safe(&no.0.unwrap_or_default()));
            answer.server_numbers.get_or_insert_default().extend(numbers);
        }
        if let Some(rows) = self.server_instance_list.0 {
            let numbers = answer.server_numbers.get_or_insert_default();
            for row in rows {
                let number = safe(row.server_instance_no.0.as_deref().unwrap_or_default());
                match row.into_server(asked) {
                    Ok(server) => answer.servers.push(server),
                    Err(field) => {
                        answer.unreadable_rows.push(format!("server {number:?} without a valid {field}"));
                    }
                }
                numbers.push(number);
            }
        }
        for row in self.region_list.0.unwrap_or_default() {
            let code = row.region_code.0.unwrap_or_default();
            match RegionCode::parse(&code) {
                Ok(code) => {
                    answer.regions.push(Region { code, name: safe(&row.region_name.0.unwrap_or_default()) });
                }
                Err(invalid) => answer.unreadable_rows.push(format!("region {:?}: {invalid}", safe(&code))),
            }
        }
        answer
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawRegion {
    region_code: Loose,
    region_name: Loose,
}

impl Item for RawRegion {
    const ELEMENT: &'static str = "region";
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawServer {
    server_instance_no: Loose,
    server_name: Loose,
    create_date: Loose,
    uptime: Loose,
    platform_type: Code,
    hypervisor_type: Code,
    server_instance_status: Code,
    server_instance_operation: Code,
    memory_size: Loose,
    zone_code: Loose,
    region_code: Loose,
    subnet_no: Loose,
    placement_group_no: Loose,
}

impl Item for RawServer {
    const ELEMENT: &'static str = "serverInstance";
}

impl RawServer {
    /// The server, or the name of the field that is missing or wrong. Only what identifies a server or sets
    /// its dump window is demanded; absent codes stay empty, which makes the server ineligible.
    fn into_server(self, asked: Option<&RegionCode>) -> Result<Server, &'static str> {
        let no = needed(&self.server_instance_no, "serverInstanceNo", |text| ServerNo::parse(text).ok())?;
        let region = match (self.region_code.0, asked) {
            (Some(text), _) => RegionCode::parse(&text).ok(),
            (None, asked) => asked.cloned(),
        };
        Ok(Server {
            no,
            region: region.ok_or("regionCode")?,
            name: needed(&self.server_name, "serverName", |text| {
                Some(safe(text)).filter(|name| !name.is_empty())
            })?,
            created_at: needed(&self.create_date, "createDate", timestamp)?,
            uptime_at: self.uptime.0.as_deref().and_then(timestamp),
            memory_bytes: needed(&self.memory_size, "memorySize", |text| text.parse().ok())?,
            platform_code: word(self.platform_type.0),
            hypervisor_code: word(self.hypervisor_type.0),
            status_code: word(self.server_instance_status.0),
            operation_code: word(self.server_instance_operation.0),
            zone_code: word(self.zone_code.0),
            subnet_no: word(self.subnet_no.0),
            placement_group_no: word(self.placement_group_no.0),
        })
    }
}

fn needed<T>(
    value: &Loose,
    field: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, &'static str> {
    value.0.as_deref().and_then(read).ok_or(field)
}

fn word(value: Option<String>) -> String {
    safe(&value.unwrap_or_default())
}

fn timestamp(text: &str) -> Option<Timestamp> {
    Timestamp::strptime(DATE_FORMAT, text).or_else(|_| text.parse()).ok()
}
