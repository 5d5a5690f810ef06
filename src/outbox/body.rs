//! Bodies: a message as each kind of receiver reads it, and the signature of a webhook.
//!
//! Never: a label by which our own alert, come back, could be taken for a server that hangs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::config::{ReceiverConfig, SignKey};
use crate::domain::notice::{Links, Message, OWN_LABEL, Style};

/// One message on its way.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The same for every try.
    pub webhook_id: String,
    /// Place of its event in the audit; `None` for a test.
    pub audit_seq: Option<i64>,
    /// What is told.
    pub message: Message,
    /// Alertmanager only: when the alert ends, unless it is posted again.
    pub ends_at: Timestamp,
}

/// What a chat is sent.
pub(super) fn slack(receiver: &ReceiverConfig, outgoing: &Outgoing, links: &Links) -> Value {
    let text = receiver.wording.text(Style::Slack, &outgoing.message, links);
    json!({ "text": text, "unfurl_links": false, "unfurl_media": false })
}

/// What a webhook is sent, in the form of Standard Webhooks: type, timestamp, data.
pub(super) fn webhook(receiver: &ReceiverConfig, outgoing: &Outgoing, links: &Links) -> Value {
    let message = &outgoing.message;
    let next = links.next(message);
    let mut data = json!(message);
    if let Value::Object(fields) = &mut data {
        fields.retain(|_, value| !value.is_null());
        fields.remove("at");
        fields.insert("severity".to_owned(), json!(message.kind.severity()));
        fields.insert("needsPerson".to_owned(), json!(message.kind.needs_person()));
        fields.insert("title".to_owned(), json!(message.kind.title()));
        fields.insert("text".to_owned(), json!(receiver.wording.text(Style::Plain, message, links)));
        for (name, value) in [
            ("auditSeq", json!(outgoing.audit_seq)),
            ("link", json!(next.link)),
            ("command", json!(next.command)),
        ] {
            if !value.is_null() {
                fields.insert(name.to_owned(), value);
            }
        }
    }
    json!({ "type": format!("unhang.{}", message.kind.as_str()), "timestamp": message.at, "data": data })
}

/// What Alertmanager is sent: one alert.
pub(super) fn alert(receiver: &ReceiverConfig, outgoing: &Outgoing, links: &Links) -> Value {
    let message = &outgoing.message;
    let next = links.next(message);
    let id = message.condition.clone().or_else(|| message.remediation_id.clone());
    let mut labels = Map::new();
    // An empty label is none.
    let mut label = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            labels.insert(name.to_owned(), json!(value));
        }
    };
    label("alertname", Some(message.kind.alert_name()));
    label("severity", Some(message.kind.severity().as_str()));
    label(OWN_LABEL.0, Some(OWN_LABEL.1));
    label("unhang_id", Some(id.as_deref().unwrap_or(&outgoing.webhook_id)));
    label("unhang_server", message.server_name.as_deref());
    label("unhang_server_no", message.server_instance_no.as_deref());
    label("unhang_region", message.region_code.as_deref());
    label("unhang_policy", message.policy.as_deref());
    label("unhang_source", message.source.as_deref());
    let server = message.server_name.as_deref().or(message.server_instance_no.as_deref());
    let about =
        server.or(message.policy.as_deref()).or(message.source.as_deref()).or(message.region_code.as_deref());
    let title = message.kind.title();
    let mut annotations = Map::new();
    let mut note = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            annotations.insert(name.to_owned(), json!(value));
        }
    };
    note("summary", Some(about.map_or_else(|| title.to_owned(), |about| format!("{title}: {about}"))));
    note("description", Some(receiver.wording.text(Style::Plain, message, links)));
    note("link", next.link.clone());
    note("command", next.command);
    let mut alert = json!({
        "labels": labels, "annotations": annotations, "startsAt": message.at, "endsAt": outgoing.ends_at,
    });
    if let (Value::Object(fields), Some(link)) = (&mut alert, next.link) {
        fields.insert("generatorURL".to_owned(), json!(link));
    }
    json!([alert])
}

/// `webhook-signature` by the Standard Webhooks rules: `v1,` and the HMAC-SHA256 over id, second and body.
pub(super) fn signature(key: &SignKey, id: &str, second: i64, body: &str) -> String {
    // HMAC takes a key of any length.
    let mut mac = match Hmac::<Sha256>::new_from_slice(key.expose()) {
        Ok(mac) => mac,
        Err(_any_length_is_taken) => return String::new(),
    };
    mac.update(format!("{id}.{second}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification, checked with `openssl dgst -sha256 -mac HMAC` as well.
    #[test]
    fn a_signature_is_the_one_that_others_compute() {
        let key = SignKey::new(STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        let signed =
            signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
