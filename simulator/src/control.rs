//! Control: the simulator's own endpoints under `/_simulator/`, for tests and demos. No password: loopback only.
//!
//! Never: imitates the vendor; nothing here exists in the real cloud.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::behaviour::Script;
use crate::cloud::Cloud;
use crate::description::{ServerPatch, ServerSpec, ServerView};
use crate::error::Error;
use crate::monitoring;
use crate::server::Server;
use crate::wire::{Answer, Request};

const HELP: &str = "\
A NAVER Cloud stand-in. The cloud is under /vserver/v2/ (signature v2); the strings are under /_simulator/.

GET    /_simulator/ledger                every interrupt request, and whether it reached a server
GET    /_simulator/servers               the fleet, with what the cloud does not tell (hung, dump)
POST   /_simulator/servers               add a server: {\"no\":\"90000200\",\"name\":\"win-new-01\"}
POST   /_simulator/servers/{no}          change it: {\"status\":\"NSTOP\"}
DELETE /_simulator/servers/{no}          it is gone
POST   /_simulator/servers/{no}/hang     its guest hangs
POST   /_simulator/servers/{no}/collect  its dump is fetched
GET    /_simulator/targets/{kind}        windows or icmp: its exporters, for http_sd_configs of Prometheus
GET    /_simulator/exporters/{kind}/{no} what an exporter says of it; 503 while windows_exporter would be silent
POST   /_simulator/behaviour             {\"serverInstanceNo\":\"90000001\",\"target\":\"interrupt\",
                                          \"behaviour\":{\"kind\":\"done_then_closed\"},\"times\":1}
POST   /_simulator/clock                 {\"offsetMs\":86400000}
";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClockOrder {
    offset_ms: i64,
}

/// Answers a call to the controls.
pub(crate) fn answer(cloud: &Cloud, request: &Request) -> Answer {
    if request.header("origin").is_some() {
        return problem(403, "a web page has no business here");
    }
    let parts: Vec<&str> = request.path().trim_start_matches('/').split('/').collect();
    let done = match (request.method.as_str(), parts.as_slice()) {
        ("GET", [""]) => Ok(Answer::new(200, "text/plain;charset=UTF-8", HELP.as_bytes().to_vec())),
        ("GET", ["_simulator", "ledger"]) => Ok(json(&cloud.ledger())),
        ("GET", ["_simulator", "servers"]) => Ok(json(&cloud.servers())),
        ("GET", ["_simulator", "targets", kind]) if monitoring::KINDS.contains(kind) => {
            let address = request.header("host").unwrap_or_default();
            Ok(json(&monitoring::targets(kind, &cloud.servers(), address)))
        }
        ("GET", ["_simulator", "exporters", kind, no]) if monitoring::KINDS.contains(kind) => {
            cloud.change(no, |_as_it_is| ()).map(|view| exporter(kind, &view)).map_err(Trouble::from)
        }
        ("POST", ["_simulator", "servers"]) => {
            body::<ServerSpec>(request).and_then(|spec| Ok(json(&cloud.add(spec)?)))
        }
        ("POST", ["_simulator", "servers", no]) => {
            body::<ServerPatch>(request).and_then(|patch| Ok(json(&cloud.patch(no, patch)?)))
        }
        ("DELETE", ["_simulator", "servers", no]) => cloud.remove(no).map(|()| fine()).map_err(Trouble::from),
        ("POST", ["_simulator", "servers", no, "hang"]) => {
            cloud.hang(no).map(|view| json(&view)).map_err(Trouble::from)
        }
        ("POST", ["_simulator", "servers", no, "collect"]) => {
            let collected = cloud.change(no, Server::collect_dump);
            collected.map(|view| json(&view)).map_err(Trouble::from)
        }
        ("POST", ["_simulator", "behaviour"]) => body::<Script>(request).and_then(|script| {
            cloud.order(script)?;
            Ok(fine())
        }),
        ("POST", ["_simulator", "clock"]) => body::<ClockOrder>(request).map(|order| {
            cloud.set_clock_offset_ms(order.offset_ms);
            fine()
        }),
        _ => return problem(404, "no such control; GET / lists them"),
    };
    done.unwrap_or_else(|trouble| match trouble {
        Trouble::Body(error) => problem(400, &error.to_string()),
        Trouble::Refused(error) => problem(status(&error), &error.to_string()),
    })
}

enum Trouble {
    Body(serde_json::Error),
    Refused(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

fn status(error: &Error) -> u16 {
    match error {
        Error::UnknownServer(_) => 404,
        Error::ServerExists(_) => 409,
        Error::Scenario(_) | Error::ScenarioSyntax(_) => 400,
        Error::NotLoopback(_) | Error::Listen { .. } | Error::LedgerFile { .. } => 500,
    }
}

fn body<T: DeserializeOwned>(request: &Request) -> Result<T, Trouble> {
    serde_json::from_slice(&request.body).map_err(Trouble::Body)
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => Answer::new(200, "application/json", bytes),
        Err(error) => problem(500, &error.to_string()),
    }
}

fn exporter(kind: &str, server: &ServerView) -> Answer {
    match monitoring::scrape(kind, server) {
        Some(text) => Answer::new(200, "text/plain; version=0.0.4", text.into_bytes()),
        None => problem(503, "nothing in this server answers"),
    }
}

fn fine() -> Answer {
    Answer::new(200, "application/json", b"{\"ok\":true}".to_vec())
}

fn problem(status: u16, detail: &str) -> Answer {
    let body = serde_json::json!({ "error": detail }).to_string();
    Answer::new(status, "application/json", body.into_bytes())
}
