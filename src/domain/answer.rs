//! The body of the cloud's answer, as it came.
//!
//! Never: cut, tidied or decoded with loss without saying so. Whoever prints it makes it safe to print.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// One body, up to the limit that is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudAnswer {
    /// The bytes that were read.
    #[serde(with = "in_base64")]
    pub bytes: Vec<u8>,
    /// More came, or was to come: it was longer than the limit, or broke off.
    pub incomplete: bool,
    /// It repeated a key of ours; `[key]` stands in its place, and the hash is that of the body so changed.
    pub key_removed: bool,
}

impl CloudAnswer {
    /// The fields of an audit event's detail. `answerBase64` is there only where the bytes are not UTF-8, and the text
    /// has U+FFFD in their place.
    pub fn tell(&self, detail: &mut serde_json::Map<String, Value>) {
        let text = String::from_utf8_lossy(&self.bytes);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            detail.insert("answerBase64".to_owned(), STANDARD.encode(&self.bytes).into());
        }
        detail.insert("answer".to_owned(), text.into());
        let said = [("answerIncomplete", self.incomplete), ("answerKeyRemoved", self.key_removed)];
        for (name, _) in said.into_iter().filter(|(_, is_so)| *is_so) {
            detail.insert(name.to_owned(), true.into());
        }
    }
}

/// Whether the answer in an event's detail is the one whose hash stands beside it; `None` where there is none.
pub fn agrees(detail: &Value) -> Option<bool> {
    let text = |name: &str| detail.get(name).and_then(Value::as_str);
    let (answer, hash) = (text("answer")?, text("bodySha256")?);
    let bytes =
        text("answerBase64").map_or_else(|| Ok(answer.as_bytes().to_vec()), |text| STANDARD.decode(text));
    Some(bytes.is_ok_and(|bytes| hex::encode(Sha256::digest(bytes)) == hash))
}

mod in_base64 {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use base64::Engine as _;

    use super::STANDARD;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn told(answer: &CloudAnswer) -> Value {
        let mut detail = Map::new();
        detail.insert("bodySha256".to_owned(), hex::encode(Sha256::digest(&answer.bytes)).into());
        answer.tell(&mut detail);
        Value::Object(detail)
    }

    fn of(bytes: &[u8]) -> CloudAnswer {
        CloudAnswer { bytes: bytes.to_vec(), ..CloudAnswer::default() }
    }

    #[test]
    fn every_answer_agrees_with_its_hash_whatever_its_bytes() {
        for bytes in [
            b"".as_slice(),
            b" {\r\n\t\"a\":\0 1}\n",
            "\u{feff}<r>\u{202e}\u{fffd}</r>".as_bytes(),
            b"\xff\x80\xc3(",
        ] {
            let detail = told(&of(bytes));
            assert_eq!(agrees(&detail), Some(true), "{detail}");
            let is_utf8 = std::str::from_utf8(bytes).is_ok();
            assert_eq!(detail.get("answerBase64").is_none(), is_utf8, "{detail}");
            let line = serde_json::to_string(&of(bytes)).unwrap();
            assert_eq!(serde_json::from_str::<CloudAnswer>(&line).unwrap(), of(bytes));
        }
    }

    #[test]
    fn an_answer_that_is_not_the_one_that_was_hashed_shows() {
        let mut detail = told(&of(b"abc"));
        detail["answer"] = json!("abd");
        assert_eq!(agrees(&detail), Some(false));
        assert_eq!(agrees(&json!({ "cause": "lost" })), None);
    }

    #[test]
    fn what_is_missing_is_said() {
        let whole = told(&of(b"x"));
        assert!(
            whole.get("answerIncomplete").is_none() && whole.get("answerKeyRemoved").is_none(),
            "{whole}"
        );
        let cut = told(&CloudAnswer { incomplete: true, key_removed: true, ..of(b"x") });
        assert_eq!((&cut["answerIncomplete"], &cut["answerKeyRemoved"]), (&json!(true), &json!(true)));
    }
}
