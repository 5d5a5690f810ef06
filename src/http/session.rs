//! Sessions: a token was shown once, a random cookie stands for it until it is idle, old, or the token is gone.
//!
//! Never: ended by the log-in of somebody else, written to disk, kept under anything but the hash of the cookie, or worth more than the token is worth now.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Sessions of one token at once; the one of them that was used longest ago makes room. Nobody else's ever does, and in all
/// there are no more than so many for each token of the configuration.
const SESSIONS_EACH: usize = 20;
/// Longest cookie that is looked at.
const COOKIE_MAX: usize = 64;
/// Longest form token that is looked at.
const FORM_TOKEN_MAX: usize = 128;

/// SHA-256 of a token or a cookie.
pub(super) type Digest = [u8; 32];

#[derive(Debug)]
struct Session {
    token: Digest,
    since: Instant,
    used: Instant,
}

/// How long sessions last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lasts {
    /// Without use.
    pub(super) idle: Duration,
    /// In all.
    pub(super) whole: Duration,
}

/// Whether looking a session up counts as using it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A person did something.
    Counts,
    /// A page that is left open renews itself.
    Passes,
}

/// All sessions of this process. They end with it.
pub(super) struct Sessions {
    open: Mutex<BTreeMap<Digest, Session>>,
    key: Digest,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

/// 256 random bits; `None` when the system gives none, and then nobody logs in.
fn random() -> Option<Digest> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}

fn digest(text: &str) -> Digest {
    Sha256::digest(text.as_bytes()).into()
}

fn masked(mask: &Digest, secret: &Digest) -> Digest {
    let mut both = *mask;
    both.iter_mut().zip(secret).for_each(|(byte, hidden)| *byte ^= hidden);
    both
}

impl Sessions {
    pub(super) fn new() -> Option<Self> {
        Some(Self { open: Mutex::default(), key: random()? })
    }

    /// Begins a session for the token with this hash. The answer is the cookie; it is told once. Sessions of tokens that
    /// are not known any more go.
    pub(super) fn begin(
        &self,
        token: Digest,
        is_known: impl Fn(&Digest) -> bool,
        now: Instant,
    ) -> Option<String> {
        let cookie = URL_SAFE_NO_PAD.encode(random()?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| is_known(&session.token));
        let own = || open.iter().filter(|(_, session)| session.token == token);
        if own().count() >= SESSIONS_EACH {
            let oldest = own().min_by_key(|(_, session)| session.used).map(|(id, _)| *id);
            oldest.and_then(|id| open.remove(&id));
        }
        open.insert(digest(&cookie), Session { token, since: now, used: now });
        Some(cookie)
    }

    /// The hash of the token that a cookie stands for.
    pub(super) fn token_of(&self, cookie: &str, lasts: Lasts, usage: Use, now: Instant) -> Option<Digest> {
        if cookie.len() > COOKIE_MAX {
            return None;
        }
        let id = digest(cookie);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get_mut(&id)?;
        let over = now.duration_since(session.used) >= lasts.idle
            || now.duration_since(session.since) >= lasts.whole;
        if over {
            open.remove(&id);
            return None;
        }
        if usage == Use::Counts {
            session.used = now;
        }
        Some(session.token)
    }

    /// Ends one session.
    pub(super) fn end(&self, cookie: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest(cookie));
    }

    /// Ends every session of a token: the person asks for it after a cookie may have been stolen.
    pub(super) fn end_all_of(&self, token: Digest) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, session| session.token != token);
    }

    /// What a form must bring back: bound to the cookie, or to a person that a proxy names, and to this process. Each
    /// answer holds it under another mask: pages are compressed, and who can count their bytes must not be able to guess
    /// one secret piece by piece.
    pub(super) fn form_token(&self, bound_to: &str) -> String {
        let (Some(mask), Some(secret)) = (random(), self.form_secret(bound_to)) else { return String::new() };
        URL_SAFE_NO_PAD.encode([mask, masked(&mask, &secret)].concat())
    }

    /// Whether a form brought it back.
    pub(super) fn is_form_token(&self, bound_to: &str, brought: &str) -> bool {
        if brought.len() > FORM_TOKEN_MAX {
            return false;
        }
        let Ok(brought) = URL_SAFE_NO_PAD.decode(brought) else { return false };
        let Some((mask, rest)) = brought.split_first_chunk::<32>() else { return false };
        let Ok(hidden) = Digest::try_from(rest) else { return false };
        self.form_secret(bound_to).is_some_and(|secret| bool::from(masked(mask, &hidden).ct_eq(&secret)))
    }

    fn form_secret(&self, bound_to: &str) -> Option<Digest> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(bound_to.as_bytes());
        Some(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Lasts = Lasts { idle: Duration::from_mins(30), whole: Duration::from_hours(12) };
    const TOKEN: Digest = [7; 32];

    fn minutes(n: u64) -> Duration {
        Duration::from_mins(n)
    }

    #[test]
    fn a_session_ends_when_idle_and_when_old() {
        let (sessions, begun) = (Sessions::new().unwrap(), Instant::now());
        let cookie = sessions.begin(TOKEN, |_| true, begun).unwrap();
        let ask = |usage, after| sessions.token_of(&cookie, LASTS, usage, begun + after);
        assert_eq!(ask(Use::Counts, minutes(29)), Some(TOKEN));
        assert_eq!(ask(Use::Passes, minutes(58)), Some(TOKEN), "used at 29");
        assert_eq!(ask(Use::Counts, minutes(59)), None, "a page that renews itself is no use");

        let cookie = sessions.begin(TOKEN, |_| true, begun).unwrap();
        for step in 1..72 {
            let at = begun + minutes(step * 10);
            assert_eq!(sessions.token_of(&cookie, LASTS, Use::Counts, at), Some(TOKEN), "{step}");
        }
        assert_eq!(sessions.token_of(&cookie, LASTS, Use::Counts, begun + minutes(720)), None);
    }

    #[test]
    fn only_the_very_cookie_opens_a_session() {
        let (sessions, now) = (Sessions::new().unwrap(), Instant::now());
        let cookie = sessions.begin(TOKEN, |_| true, now).unwrap();
        let other = sessions.begin(TOKEN, |_| true, now).unwrap();
        assert_ne!(cookie, other);
        for wrong in ["", "x", &format!("{cookie}="), &"y".repeat(100_000)] {
            assert_eq!(sessions.token_of(wrong, LASTS, Use::Counts, now), None);
        }
        sessions.end(&cookie);
        assert_eq!(sessions.token_of(&cookie, LASTS, Use::Counts, now), None);
        assert_eq!(sessions.token_of(&other, LASTS, Use::Counts, now), Some(TOKEN));
        sessions.end_all_of(TOKEN);
        assert_eq!(sessions.token_of(&other, LASTS, Use::Counts, now), None);
    }

    #[test]
    fn a_form_belongs_to_one_session() {
        let (sessions, now) = (Sessions::new().unwrap(), Instant::now());
        let (mine, other) =
            (sessions.begin(TOKEN, |_| true, now).unwrap(), sessions.begin(TOKEN, |_| true, now).unwrap());
        let form = sessions.form_token(&mine);
        assert!(sessions.is_form_token(&mine, &form));
        let again = sessions.form_token(&mine);
        assert!(sessions.is_form_token(&mine, &again));
        let same = form.bytes().zip(again.bytes()).filter(|(a, b)| a == b).count();
        assert!(same < 20, "the mask is another each time, {same} bytes are the same");
        for wrong in ["x", "=", &format!("{form}A"), &"A".repeat(86), &"A".repeat(100_000)] {
            assert!(!sessions.is_form_token(&mine, wrong), "{wrong:.99}");
        }
        assert!(!sessions.is_form_token(&other, &form));
        assert!(!sessions.is_form_token(&mine, ""));
        assert!(!Sessions::new().unwrap().is_form_token(&mine, &form), "another process has another key");
    }

    #[test]
    fn log_ins_of_one_person_end_their_own_longest_unused_session_and_nobody_elses() {
        let (sessions, begun) = (Sessions::new().unwrap(), Instant::now());
        let others = sessions.begin([8; 32], |_| true, begun).unwrap();
        let first = sessions.begin(TOKEN, |_| true, begun).unwrap();
        let mut last = String::new();
        for n in 1..=2000 {
            let now = begun + Duration::from_millis(n);
            last = sessions.begin(TOKEN, |_| true, now).unwrap();
        }
        assert_eq!(sessions.open.lock().unwrap().len(), SESSIONS_EACH + 1);
        assert_eq!(sessions.token_of(&first, LASTS, Use::Counts, begun), None);
        assert_eq!(sessions.token_of(&last, LASTS, Use::Counts, begun + minutes(1)), Some(TOKEN));
        assert_eq!(sessions.token_of(&others, LASTS, Use::Counts, begun), Some([8; 32]));

        sessions.begin([8; 32], |token| *token != TOKEN, begun).unwrap();
        assert_eq!(sessions.open.lock().unwrap().len(), 2, "those of a token that was taken away are gone");
    }
}
