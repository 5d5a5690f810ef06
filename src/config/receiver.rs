//! Receivers: who is told, by which way, of what.
//!
//! Never: shows an address that is a secret, or a key.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use crate::domain::notice::{Kind, Wording};

/// What a receiver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverKind {
    /// A chat's incoming webhook, as Slack has it.
    Slack,
    /// A webhook signed by the Standard Webhooks rules.
    Webhook,
    /// Alertmanager, `POST /api/v2/alerts`.
    Alertmanager,
}

impl ReceiverKind {
    /// The word used in configuration and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
        }
    }
}

/// The bytes that messages of a webhook are signed with.
#[derive(Clone)]
pub struct SignKey(Arc<SecretBox<Vec<u8>>>);

impl SignKey {
    /// Keeps the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(SecretBox::new(Box::new(bytes))))
    }

    /// The bytes, to sign with.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignKey")
    }
}

/// `[[notify]]`: one receiver of messages.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ReceiverKind,
    /// Its address.
    pub url: SecretString,
    /// The address came from a file or the environment, and is a secret.
    pub url_is_secret: bool,
    /// Signs the messages of a webhook.
    pub sign_key: Option<SignKey>,
    /// Bearer token of an Alertmanager behind a proxy.
    pub bearer: Option<SecretString>,
    /// What it is told (default: what needs a person, and what came of it).
    pub events: BTreeSet<Kind>,
    /// Longest wait for its answer (default 10 s).
    pub timeout: SignedDuration,
    /// How long a message is tried (default 72 h).
    pub give_up: SignedDuration,
    /// Alertmanager only: gap between two posts of an alert that stands (default 60 s).
    pub repeat: SignedDuration,
    /// Its templates.
    pub wording: Wording,
}
