//! Explain: why something happened to a server or did not, and what a payload would lead to.
//!
//! Never: keeps, sends or changes anything.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use jiff::Timestamp;

use super::super::api::explain::{Verdicts, Why, ask_why, judge};
use super::super::body::{Params, time};
use super::super::door::Door;
use super::super::problem::{Code, Problem};
use super::remediations::Decided;
use super::view::View;
use super::{enter, page, query, see_other, sent_up_to};
use crate::config::{Role, SourceKind};

/// Largest form with a pasted payload. What the payload itself may have is `server.body_bytes_max`.
const PASTED_MAX: usize = 2 * 1024 * 1024;

#[derive(Template)]
#[template(path = "explain.html")]
struct Explain<'v> {
    v: &'v View,
    server: String,
    at: Option<Timestamp>,
    why: Option<Why>,
    decisions: Vec<Decided>,
    sources: Vec<String>,
    source: String,
    pasted: String,
    verdicts: Option<Verdicts>,
}

impl<'v> Explain<'v> {
    fn empty(view: &'v View, door: &Door) -> Self {
        let config = door.service.config();
        let alerting = config.sources.iter().filter(|source| source.kind != SourceKind::Guest);
        Self {
            v: view,
            server: String::new(),
            at: None,
            why: None,
            decisions: Vec::new(),
            sources: alerting.map(|source| source.name.clone()).collect(),
            source: String::new(),
            pasted: String::new(),
            verdicts: None,
        }
    }
}

/// What the address asks.
struct Asked {
    server: Option<String>,
    at: Option<Timestamp>,
    /// The address has a time without a zone, or an empty field.
    unsteady: bool,
}

impl Asked {
    fn of(view: &View, req: &HttpRequest) -> Result<Self, Problem> {
        let mut params = Params::of(req)?;
        let (by_number, called) = (params.text("serverInstanceNo"), params.text("server"));
        let given = req.query_string();
        let mut unsteady = by_number.is_some() || given.ends_with('=') || given.contains("=&");
        let at = params.read("at", |text| {
            unsteady |= time(text).is_err();
            view.time_of(text)
        })?;
        params.text("done");
        params.finish()?;
        let server = called.or(by_number).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(Self { server, at, unsteady })
    }

    fn address(&self) -> String {
        let at = self.at.map(|at| at.to_string());
        let pairs = [("server", self.server.as_deref()), ("at", at.as_deref())];
        let pairs: Vec<_> = pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        if pairs.is_empty() { "/explain".to_owned() } else { format!("/explain?{}", query(&pairs)) }
    }
}

/// `GET /explain`
pub(in super::super) async fn why(req: HttpRequest, door: Data<Door>) -> HttpResponse {
    let mut view = match enter(&req, &door, "explain", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    let asked = match Asked::of(&view, &req) {
        Ok(asked) if asked.unsteady => return see_other(&asked.address()),
        Ok(asked) => asked,
        Err(problem) => return super::failed(&view, &problem),
    };
    let found = match asked.server.clone() {
        Some(server) => ask_why(&door, server, asked.at).await.map(Some),
        None => Ok(None),
    };
    // A name of several servers is asked again, on the same page.
    let mut why = match found {
        Ok(why) => why,
        Err(problem) => {
            view.problem = Some(problem);
            None
        }
    };
    let decisions = why.as_mut().map(|why| std::mem::take(&mut why.decisions)).unwrap_or_default();
    let shown = Explain {
        server: asked.server.unwrap_or_default(),
        at: asked.at,
        why,
        decisions: decisions.into_iter().map(Decided::of).collect(),
        ..Explain::empty(&view, &door)
    };
    page(&view, Ok(shown))
}

/// `POST /explain/payload`
pub(in super::super) async fn payload(req: HttpRequest, door: Data<Door>, payload: Payload) -> HttpResponse {
    let sent = sent_up_to(&req, &door, "explain", Role::Viewer, (payload, PASTED_MAX)).await;
    let mut sent = match sent {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    // This place takes forms only: whoever changes the language comes back to the page.
    "/explain".clone_into(&mut sent.view.here);
    let pasted = sent.form.text("payload").to_owned();
    if let Err(problem) = door.people.take_turn(&req, &sent.caller.person.name).await {
        return super::failed(&sent.view, &problem);
    }
    let verdicts = match judge_pasted(&door, sent.form.given("source"), &pasted).await {
        Ok(verdicts) => Some(verdicts),
        Err(problem) => {
            sent.view.problem = Some(problem);
            None
        }
    };
    let source = sent.form.text("source").to_owned();
    page(&sent.view, Ok(Explain { source, pasted, verdicts, ..Explain::empty(&sent.view, &door) }))
}

async fn judge_pasted(door: &Door, source: Option<&str>, pasted: &str) -> Result<Verdicts, Problem> {
    let max = door.service.config().server.body_bytes_max;
    if pasted.len() > max {
        return Err(Problem::new(Code::BodyTooLarge, format!("a body may have {max} bytes at most")));
    }
    judge(door, source, pasted.as_bytes()).await
}
