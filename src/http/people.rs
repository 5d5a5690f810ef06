//! What people have open at once: answers, exports, event streams. Each is limited for the person and in all, so that
//! neither a person nor all of them together take the machine from the senders and from the work.
//!
//! Never: counts a sender, a probe or an order, or lets one person's share depend on what another one does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::{HttpMessage as _, HttpRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Code, Problem};

/// Answers of one person that are being made or have not left yet.
const ANSWERS_EACH: usize = 4;
/// The same of all people together. With pages of 1000 rows that is what bounds their memory.
const ANSWERS_IN_ALL: usize = 16;
/// How long a request waits for one of them.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Exports of one person.
const EXPORTS_EACH: usize = 2;
/// Exports of all people together.
const EXPORTS_IN_ALL: usize = 8;
/// One person may have so much of the event streams: one in two.
const STREAMS_SHARE: usize = 2;

/// What is open.
#[derive(Debug)]
pub(super) struct People {
    answers: Arc<Semaphore>,
    answers_of: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    exports: Arc<Shares>,
    streams: Arc<Shares>,
    /// Whoever exports, pages are read one after the other.
    pub(super) export_turn: Arc<Semaphore>,
}

/// An answer that is being made or on its way.
#[derive(Debug)]
pub(super) struct Turn {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl People {
    pub(super) fn new() -> Self {
        Self {
            answers: Arc::new(Semaphore::new(ANSWERS_IN_ALL)),
            answers_of: Mutex::default(),
            exports: Arc::default(),
            streams: Arc::default(),
            export_turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Waits for this person's turn. It is kept with the request, and goes with the last byte of the answer.
    pub(super) async fn take_turn(&self, req: &HttpRequest, person: &str) -> Result<(), Problem> {
        let (own, of_all) = (self.answers_of(person), Arc::clone(&self.answers));
        let deadline = tokio::time::Instant::now() + ANSWER_WAIT;
        let Ok(Ok(own)) = tokio::time::timeout_at(deadline, own.acquire_owned()).await else {
            return Err(too_many_of_yours("answers", ANSWERS_EACH));
        };
        let Ok(Ok(of_all)) = tokio::time::timeout_at(deadline, of_all.acquire_owned()).await else {
            let detail = format!("{ANSWERS_IN_ALL} answers to people are under way; try again");
            return Err(Problem::new(Code::Overloaded, detail));
        };
        req.extensions_mut().insert(Turn { _own: own, _of_all: of_all });
        Ok(())
    }

    fn answers_of(&self, person: &str) -> Arc<Semaphore> {
        let mut of = self.answers_of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = of.get(person) {
            return Arc::clone(own);
        }
        // Names that a reload took away go once nothing of theirs is open.
        of.retain(|_, own| Arc::strong_count(own) > 1);
        let own = Arc::new(Semaphore::new(ANSWERS_EACH));
        of.insert(person.to_owned(), Arc::clone(&own));
        own
    }

    /// A place for one more export.
    pub(super) fn export(&self, person: &str) -> Result<Share, Problem> {
        self.exports.take(person, EXPORTS_EACH, EXPORTS_IN_ALL).map_err(|full| match full {
            Full::Own => too_many_of_yours("exports", EXPORTS_EACH),
            Full::All => {
                let detail = format!("{EXPORTS_IN_ALL} exports are under way; try again in a moment");
                Problem::new(Code::Overloaded, detail)
            }
        })
    }

    /// A place for one more event stream, of so many in all.
    pub(super) fn stream(&self, person: &str, in_all: usize) -> Result<Share, Problem> {
        let each = in_all.div_ceil(STREAMS_SHARE);
        self.streams.take(person, each, in_all).map_err(|full| match full {
            Full::Own => too_many_of_yours("event streams", each),
            Full::All => {
                let detail = format!("{in_all} event streams are open; close one, or try again");
                Problem::new(Code::TooManyStreams, detail)
            }
        })
    }
}

fn too_many_of_yours(what: &str, each: usize) -> Problem {
    let detail = format!("a person may have at most {each} {what} open at once: let one end, then ask again");
    Problem::new(Code::TooManyAtOnce, detail).with("limit", each)
}

/// Places of one kind that are taken, by person.
#[derive(Debug, Default)]
pub(super) struct Shares(Mutex<BTreeMap<String, usize>>);

/// Whose limit stands against one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    Own,
    All,
}

impl Shares {
    fn take(self: &Arc<Self>, person: &str, each: usize, in_all: usize) -> Result<Share, Full> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // In this order: whoever has too many is told so, however full it is.
        if open.get(person).is_some_and(|own| *own >= each) {
            return Err(Full::Own);
        }
        if open.values().sum::<usize>() >= in_all {
            return Err(Full::All);
        }
        *open.entry(person.to_owned()).or_default() += 1;
        Ok(Share { of: Arc::clone(self), person: person.to_owned() })
    }
}

/// One place; it is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    of: Arc<Shares>,
    person: String,
}

impl Share {
    /// A time for each place that is taken.
    pub(super) fn times_open(&self, each: Duration) -> Duration {
        let open = self.of.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum::<usize>();
        each.saturating_mul(u32::try_from(open).unwrap_or(u32::MAX))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.person) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.person);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_for_each_person_and_in_all_and_given_back() {
        let shares = Arc::new(Shares::default());
        let take = |person| shares.take(person, 2, 3);
        let kim = (take("kim").unwrap(), take("kim").unwrap());
        assert_eq!(take("kim").err(), Some(Full::Own));
        let lee = take("lee").unwrap();
        assert_eq!(take("lee").err(), Some(Full::All));
        assert_eq!(lee.times_open(Duration::from_millis(20)), Duration::from_millis(60));
        drop(kim);
        assert!(take("lee").is_ok() && take("kim").is_ok());
        drop(lee);
        assert!(shares.0.lock().unwrap().is_empty(), "nobody who has nothing open is remembered");
    }

    #[tokio::test]
    async fn a_person_waits_for_a_turn_behind_their_own_answers_and_no_one_elses() {
        let people = People::new();
        let ask = || actix_web::test::TestRequest::default().to_http_request();
        let mine: Vec<_> = (0..ANSWERS_EACH).map(|_| ask()).collect();
        for req in &mine {
            people.take_turn(req, "kim").await.unwrap();
        }
        let (one_more, others) = (ask(), ask());
        let waiting = people.take_turn(&one_more, "kim");
        let meanwhile = async {
            people.take_turn(&others, "lee").await.unwrap();
            assert!(one_more.extensions().get::<Turn>().is_none());
            mine[0].extensions_mut().remove::<Turn>();
        };
        let (turn, ()) = tokio::join!(waiting, meanwhile);
        turn.unwrap();
        let refused = people.take_turn(&ask(), "kim").await.unwrap_err();
        assert_eq!(refused.code(), Code::TooManyAtOnce, "{refused}");
    }
}
