//! Heads of the audit: what its last row was at a time, signed, to be kept where the store is not.
//!
//! Never: a head that a row of the chain could be taken for, or the other way round.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::audit::GENESIS;
use super::audit_key::{AuditKey, KeyRing, seal};

/// Goes before every head that is sealed.
const TAG: &[u8] = b"unhang audit head v1\0";

/// The end of the audit at a time. One line of a heads file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AuditHead)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// When it was taken.
    pub at: Timestamp,
    /// Place of the last row; 0 where there is none.
    pub seq: i64,
    /// Hash of that row.
    pub hash: String,
    /// Audit rows that the store held.
    pub store_rows: i64,
    /// `mac` of the head before it in the file.
    pub prev_head: String,
    /// Key it is signed with; `None`: a plain SHA-256, which whoever knows the form can make.
    pub key_id: Option<String>,
    /// Seal over all other fields.
    pub mac: String,
}

impl Head {
    /// A sealed head.
    pub fn sealed(
        key: Option<&AuditKey>,
        at: Timestamp,
        (seq, hash): (i64, String),
        store_rows: i64,
        prev_head: String,
    ) -> Self {
        let key_id = key.map(|key| key.id().to_owned());
        let mut head = Self { at, seq, hash, store_rows, prev_head, key_id, mac: String::new() };
        head.mac = seal(key, &head.message());
        head
    }

    fn message(&self) -> Vec<u8> {
        let mut bytes = TAG.to_vec();
        let mut field = |value: &[u8]| {
            bytes.extend_from_slice(&u64::try_from(value.len()).unwrap_or(u64::MAX).to_le_bytes());
            bytes.extend_from_slice(value);
        };
        field(&self.at.as_nanosecond().to_le_bytes());
        field(&self.seq.to_le_bytes());
        field(self.hash.as_bytes());
        field(&self.store_rows.to_le_bytes());
        field(self.prev_head.as_bytes());
        field(self.key_id.as_deref().unwrap_or_default().as_bytes());
        bytes
    }

    /// Why it is not what was sealed; `None` when it is.
    fn fault(&self, ring: &KeyRing) -> Option<String> {
        let key = match &self.key_id {
            None => None,
            Some(id) => match ring.find(id) {
                None => return Some(format!("needs key {id}")),
                found => found,
            },
        };
        (seal(key, &self.message()) != self.mac).then(|| "its content does not give its seal".to_owned())
    }
}

/// The heads of a file.
#[derive(Debug, Clone, Default)]
pub struct Heads {
    /// Those that hold, in order.
    pub heads: Vec<Head>,
    /// Lines that are no head: a write that was cut short.
    pub torn: usize,
    /// What is wrong with the file: the number of the line and why.
    pub fault: Option<(usize, String)>,
}

/// Reads the lines of a heads file and checks each one's seal, their order and their own chain. Ends at the first fault.
/// A file may begin in the middle: what is left still says what the whole chain was.
pub fn read_heads(text: &str, ring: &KeyRing) -> Heads {
    let mut read = Heads::default();
    for (place, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Ok(head) = serde_json::from_str::<Head>(line) else {
            read.torn += 1;
            continue;
        };
        let why = head.fault(ring).or_else(|| {
            let before = read.heads.last()?;
            if head.prev_head != before.mac {
                Some("it does not continue the head before it".to_owned())
            } else if head.seq < before.seq {
                Some(format!("it is of row {}, the one before it of row {}", head.seq, before.seq))
            } else if head.key_id.is_none() && before.key_id.is_some() {
                Some("a head without a key behind a signed one".to_owned())
            } else {
                None
            }
        });
        if let Some(why) = why {
            read.fault = Some((place + 1, why));
            break;
        }
        read.heads.push(head);
    }
    read
}

/// What the first head of a file continues.
pub fn no_head() -> String {
    GENESIS.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(letter: &str) -> AuditKey {
        AuditKey::new(secrecy::SecretString::from(letter.repeat(32))).unwrap()
    }

    fn file(keys: &[Option<&AuditKey>]) -> Vec<String> {
        let mut before = no_head();
        let mut lines = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            let seq = i64::try_from(place).unwrap();
            let head =
                Head::sealed(*key, Timestamp::UNIX_EPOCH, (seq, format!("h{seq}")), seq, before.clone());
            before.clone_from(&head.mac);
            lines.push(serde_json::to_string(&head).unwrap());
        }
        lines
    }

    #[test]
    fn a_whole_file_holds_and_one_cut_at_its_begin_too() {
        let key = key("a");
        let ring = KeyRing::new(Some(key.clone()), []);
        let lines = file(&[None, Some(&key), Some(&key)]);
        let read = read_heads(&lines.join("\n"), &ring);
        assert_eq!((read.heads.len(), read.torn, read.fault), (3, 0, None));
        assert_eq!(read_heads(&lines[1..].join("\n"), &ring).heads.len(), 2);
        let torn = format!("{}\n{{\"at\":\n{}", lines[0], lines[1]);
        let read = read_heads(&torn, &ring);
        assert_eq!((read.heads.len(), read.torn, read.fault), (2, 1, None));
    }

    #[test]
    fn a_changed_removed_or_unsigned_line_is_found() {
        let key = key("a");
        let ring = KeyRing::new(Some(key.clone()), []);
        let lines = file(&[Some(&key), Some(&key), Some(&key)]);
        let fault = |text: &str, ring: &KeyRing| read_heads(text, ring).fault;
        for (from, to) in
            [("\"h1\"", "\"h9\""), ("\"seq\":1", "\"seq\":2"), ("\"storeRows\":1", "\"storeRows\":2")]
        {
            let changed = lines.join("\n").replace(from, to);
            assert_eq!(fault(&changed, &ring).unwrap().0, 2, "{from}");
        }
        assert_eq!(fault(&[lines[0].as_str(), lines[2].as_str()].join("\n"), &ring).unwrap().0, 2);
        // Sealed by whoever has the key, and yet of an earlier row.
        let before: Head = serde_json::from_str(&lines[2]).unwrap();
        let back = Head::sealed(Some(&key), before.at, (1, "h1".to_owned()), 3, before.mac);
        let back = format!("{}\n{}", lines.join("\n"), serde_json::to_string(&back).unwrap());
        assert!(fault(&back, &ring).unwrap().1.contains("it is of row 1, the one before it of row 2"));
        assert_eq!(fault(&file(&[None, None]).join("\n"), &ring), None, "nobody has a key yet");
        let first: Head = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(first.prev_head, GENESIS);
        let again = Head::sealed(Some(&key), first.at, (0, "h0".to_owned()), 0, first.mac);
        let twice = format!("{}\n{}", lines[0], serde_json::to_string(&again).unwrap());
        assert_eq!(fault(&twice, &ring), None, "nothing was written in between");
        let unsigned = file(&[Some(&key), None]);
        assert!(fault(&unsigned.join("\n"), &ring).unwrap().1.contains("without a key"));
        assert!(fault(&lines.join("\n"), &KeyRing::default()).unwrap().1.contains("needs key"));
    }
}
