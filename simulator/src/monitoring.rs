//! Monitoring: what exporters would say of the fleet, and where Prometheus finds them.
//!
//! `windows_exporter` lives in the guest: it is silent while that hangs, crashes or is off. Ping is answered by the guest's
//! kernel: also while user mode hangs.
//!
//! Never: tells more than a monitoring could see.

use serde_json::{Value, json};

use crate::description::{Dump, ServerView};

/// The kinds of exporters, by the name of their page.
pub(crate) const KINDS: [&str; 2] = ["windows", "icmp"];

/// Targets for `http_sd_configs`: one for each Windows server, all at this address, each with a page of its own.
pub(crate) fn targets(kind: &str, servers: &[ServerView], address: &str) -> Value {
    let target = |server: &ServerView| {
        json!({
            "targets": [address],
            "labels": {
                "__metrics_path__": format!("/_simulator/exporters/{kind}/{}", server.server_instance_no),
                "instance": server.server_name,
                "server_instance_no": server.server_instance_no,
                "region_code": server.region_code,
            },
        })
    };
    let windows = servers.iter().filter(|server| server.platform.starts_with("WND"));
    Value::Array(windows.map(target).collect())
}

/// What a scrape of one exporter brings; none where nothing answers.
pub(crate) fn scrape(kind: &str, server: &ServerView) -> Option<String> {
    let down = server.dump == Dump::Writing || server.operation != "NULL" || server.status != "RUN";
    match kind {
        "windows" if down || server.hung => None,
        "windows" => Some("windows_os_info 1\n".to_owned()),
        _ => Some(format!("probe_success {}\n", u8::from(!down))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::ServerSpec;
    use crate::server::Server;

    #[test]
    fn a_hung_guest_answers_ping_alone_and_one_that_is_off_answers_nothing() {
        let said = |change: fn(&mut ServerSpec)| {
            let mut spec = ServerSpec { no: "90000001".to_owned(), ..ServerSpec::default() };
            change(&mut spec);
            let view = Server::new(spec).view();
            (
                scrape("windows", &view).is_some(),
                scrape("icmp", &view).is_some_and(|text| text.ends_with("1\n")),
            )
        };
        assert_eq!(said(|_well| {}), (true, true));
        assert_eq!(said(|spec| spec.hung = true), (false, true));
        assert_eq!(said(|spec| spec.status = "NSTOP".to_owned()), (false, false));
        assert_eq!(said(|spec| spec.operation = "SETUP".to_owned()), (false, false));
    }

    #[test]
    fn only_windows_servers_are_targets() {
        let view = |no: &str, platform: &str| {
            Server::new(ServerSpec { no: no.into(), platform: platform.into(), ..ServerSpec::default() })
                .view()
        };
        let found = targets("icmp", &[view("1", "WND64"), view("2", "LNX64")], "127.0.0.1:9");
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
        assert_eq!(found[0]["labels"]["__metrics_path__"], "/_simulator/exporters/icmp/1");
        assert_eq!(found[0]["targets"][0], "127.0.0.1:9");
    }
}
