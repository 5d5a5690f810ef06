//! Keys of a server role: asked of the metadata service of the machine that this runs on.
//!
//! Never: prints a key, follows a redirect, or asks through a proxy: whoever answers is believed.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, Url, redirect, retry};
use secrecy::SecretString;
use serde::Deserialize;

use super::outcome::AnswerBody;
use super::request::{self, ClientError};
use super::text::{chain, safe};
use crate::config::ServerRoleConfig;

/// The metadata service is on the same machine: whoever waits longer waits for nothing.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Most roles of one machine that are looked at.
const ROLES_MAX: usize = 16;

/// The keys of a role.
#[derive(Debug, Clone)]
pub struct RoleKeys {
    /// Access key id.
    pub access_key: SecretString,
    /// Secret key.
    pub secret_key: SecretString,
    /// Until when they are good, where that was said in a way that can be read.
    pub until: Option<Timestamp>,
}

/// Asks the metadata service.
#[derive(Debug)]
pub struct RoleReader {
    client: Client,
    config: ServerRoleConfig,
}

/// What the metadata service says of a role. The names are those that the vendor's SDK reads.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Said {
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    expiration: Option<String>,
    code: Option<serde_json::Value>,
    message: Option<String>,
}

impl RoleReader {
    /// A client of its own.
    pub fn new(config: &ServerRoleConfig) -> Result<Self, ClientError> {
        let built = Client::builder()
            .http1_only()
            .no_proxy()
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(request::USER_AGENT)
            .build();
        let client = built.map_err(|error| ClientError::Build(chain(&error)))?;
        Ok(Self { client, config: config.clone() })
    }

    /// The keys as they are now, or why there are none.
    pub async fn keys(&self) -> Result<RoleKeys, String> {
        let role = match &self.config.role {
            Some(role) => role.clone(),
            None => only_role(&self.ask("").await?)?,
        };
        keys_of(&self.ask(&role).await?)
    }

    async fn ask(&self, role: &str) -> Result<Vec<u8>, String> {
        let mut url = Url::parse(&self.config.url).map_err(|_shown| "its address is none".to_owned())?;
        if let Ok(mut segments) = url.path_segments_mut() {
            // The list is asked for with the slash at its end.
            segments.pop_if_empty().push(role);
        }
        let response = self.client.get(url).send().await.map_err(|error| chain(&error.without_url()))?;
        let status = response.status().as_u16();
        match request::read_capped(response, ANSWER_BYTES_MAX).await {
            AnswerBody::Complete(bytes) if (200..300).contains(&status) => Ok(bytes),
            AnswerBody::Complete(_) => Err(format!("it answered {status}; has this machine a server role?")),
            AnswerBody::Broken { read: _, why } => Err(format!("its answer broke: {why}")),
            AnswerBody::Oversize(_) => Err(format!("its answer is longer than {ANSWER_BYTES_MAX} bytes")),
        }
    }
}

/// The one role of a list with one on each line. Of several, nobody can tell which is meant.
fn only_role(list: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(list);
    let mut roles = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(ROLES_MAX);
    match (roles.next(), roles.next()) {
        (Some(role), None) => Ok(role.to_owned()),
        (None, _) => Err("this machine has no server role".to_owned()),
        (Some(_), Some(_)) => {
            Err("this machine has several server roles; name one in cloud.server_role.role".to_owned())
        }
    }
}

fn keys_of(answer: &[u8]) -> Result<RoleKeys, String> {
    // An error of the parser could repeat a part of the answer.
    let said: Said =
        serde_json::from_slice(answer).map_err(|_secret| "its answer cannot be read".to_owned())?;
    let usable = |key: &String| !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
    let (Some(access), Some(secret)) =
        (said.access_key_id.filter(usable), said.secret_access_key.filter(usable))
    else {
        let code = said.code.map_or_else(String::new, |code| code.to_string());
        let message = said.message.unwrap_or_default();
        return Err(safe(&format!("it gave no keys: code {code}, {message}")));
    };
    let until = said.expiration.as_deref().and_then(instant);
    Ok(RoleKeys { access_key: SecretString::from(access), secret_key: SecretString::from(secret), until })
}

/// A time as it may be written: with an offset, or in milliseconds. UNCONFIRMED by the vendor; one without an offset could be
/// that of any zone, so it tells nothing.
fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let millis = || text.parse().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    text.parse().ok().or_else(millis)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn keys_are_read_and_nothing_of_them_is_told() {
        let answer = r#"{"AccessKeyId":"id-1","SecretAccessKey":"MARKER","Expiration":"2026-12-01T10:00:00Z","Code":"Success","Message":""}"#;
        let keys = keys_of(answer.as_bytes()).unwrap();
        assert_eq!(keys.access_key.expose_secret(), "id-1");
        assert_eq!(keys.until.unwrap().to_string(), "2026-12-01T10:00:00Z");
        assert!(!format!("{keys:?}").contains("MARKER"));
        for (bad, says) in [
            (r#"{"AccessKeyId":"id-1","SecretAccessKey":7,"x":"MARKER"}"#, "cannot be read"),
            (r#"{"AccessKeyId":"id-1","SecretAccessKey":"","Code":"Failed","Message":"no\nrole"}"#, "Failed"),
            (r#"{"AccessKeyId":"id 1","SecretAccessKey":"MARKER"}"#, "no keys"),
            ("<html>MARKER</html>", "cannot be read"),
        ] {
            let told = keys_of(bad.as_bytes()).unwrap_err();
            assert!(told.contains(says) && !told.contains("MARKER") && !told.contains('\n'), "{told}");
        }
    }

    #[test]
    fn a_time_that_could_be_of_any_zone_tells_nothing() {
        assert_eq!(instant("1764583200000").unwrap().to_string(), "2025-12-01T10:00:00Z");
        assert_eq!(instant("2026-12-01T19:00:00+09:00").unwrap().to_string(), "2026-12-01T10:00:00Z");
        for unknown in ["2026-12-01T10:00:00", "", "soon"] {
            assert_eq!(instant(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn one_role_is_taken_and_of_several_none() {
        assert_eq!(only_role(b"role-1\n").unwrap(), "role-1");
        assert!(only_role(b"\n \n").unwrap_err().contains("no server role"));
        assert!(only_role(b"a\r\nb\r\n").unwrap_err().contains("several"));
    }
}
