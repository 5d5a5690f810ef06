//! Every mistake is told with its exact key.
//!
//! Never: expects the wording, only the place.

use super::*;
use crate::domain::hold::Schedule;

#[test]
fn mistakes_of_the_service_are_told_with_their_key() {
    for (text, key) in [
        ("[server]\nlisten = \"8080\"", "server.listen"),
        ("[server]\nlisten = 8080", "server.listen"),
        ("[server]\nlisten_addr = \"127.0.0.1:1\"", "server.listen_addr"),
        ("[server]\nbody_bytes_max = 0", "server.body_bytes_max"),
        ("[server]\nbody_timeout = \"0s\"", "server.body_timeout"),
        ("[server]\nbody_timeout = \"-5s\"", "server.body_timeout"),
        ("[server]\nbody_timeout = 5", "server.body_timeout"),
        ("[server]\nstreams_max = 5000", "server.streams_max"),
        ("[server]\nwrite_timeout = \"0s\"", "server.write_timeout"),
        ("[server]\nqueue_max = -1", "server.queue_max"),
        ("[server]\nqueue_max = \"9\"", "server.queue_max"),
        ("[server]\ntrusted_proxies = [\"10.0.0.0/40\"]", "server.trusted_proxies[0]"),
        ("server = 1", "server"),
        ("[store]\nurl = \"data/unhang.db\"", "store.url"),
        ("[store]\nurl = \"sqlite://:memory:\"", "store.url"),
        ("[store]\nurl = \"postgres://u:p@localhost/d\"", "store.url"),
        ("[store]\nurl = \"postgres://u@h/d\"", "store.url"),
        ("[store]\nurl = \"postgres://u@localhost\"", "store.url"),
        ("[store]\nfolder = \"x\"", "store.folder"),
        ("[store]\npassword_file = \"x\"", "store.password_file"),
        ("[store]\nhold_file = \"data/unhang.db\"", "store.hold_file"),
        ("[store]\njournal = \"data/unhang.db\"", "store.journal"),
        ("[store]\njournal = \"data/HOLD\"", "store.journal"),
        ("[store]\nwatermark = \"512MB\"", "store.watermark"),
        ("[store]\nwatermark = 512", "store.watermark"),
        ("[store]\nballast = \"-1\"", "store.ballast"),
        ("[storm]\nshare = 0", "storm.share"),
        ("[storm]\nshare = 1.5", "storm.share"),
        ("[storm]\nshare = \"10%\"", "storm.share"),
        ("[storm]\nwindow = \"1s\"", "storm.window"),
        ("[breaker]\nfailures = 0", "breaker.failures"),
        ("[breaker]\nopen_for = \"1s\"", "breaker.open_for"),
        ("[dispatch]\ntick = \"1h\"", "dispatch.tick"),
        ("[verify]\ngive_up = \"1h\"\nwindow = \"2h\"", "verify.give_up"),
        ("[inventory]\nfresh_for = \"5m\"", "inventory.fresh_for"),
        ("[limts]\nserver = []", "limts"),
    ] {
        check(text, &[key]);
    }
}

#[test]
fn mistakes_of_the_cloud_are_told_with_their_key() {
    for (line, key) in [
        ("endpoint = \"https://a.example\"\nsite = \"gov\"", "cloud.site"),
        ("site = \"korea\"", "cloud.site"),
        ("endpoint = \"http://ncloud.apigw.ntruss.com\"", "cloud.endpoint"),
        ("endpoint = \"https://h/path\"", "cloud.endpoint"),
        ("endpoint = \"https://u:p@h\"", "cloud.endpoint"),
        ("endpoint = \"ftp://h\"", "cloud.endpoint"),
        ("endpoint = \"h\"", "cloud.endpoint"),
        ("method = \"PUT\"", "cloud.method"),
        ("response_format = \"yaml\"", "cloud.response_format"),
        ("timeout = \"10m\"", "cloud.timeout"),
        ("clock_skew_max = \"5m\"", "cloud.clock_skew_max"),
        ("date = \"maybe\"", "cloud.date"),
        ("access_key = \"x\"", "cloud.access_key"),
        ("secret_key = \"x\"", "cloud.secret_key"),
        ("secret_key_file = \"nowhere\"", "cloud.secret_key_file"),
    ] {
        check(&format!("[cloud]\nregion = \"KR\"\n{line}"), &[key]);
    }
    check("[cloud]\n", &["cloud.region"]);
    check("[cloud]\nregion = \"kr\"", &["cloud.region"]);
    for endpoint in ["http://127.0.0.1:9", "http://[::1]:9", "http://localhost:9", "https://h.example/"] {
        let text = format!("[cloud]\nregion = \"KR\"\nendpoint = \"{endpoint}\"");
        let config = outcome(&text, &[]).unwrap().config;
        assert_eq!(config.cloud.endpoint, endpoint.trim_end_matches('/'));
    }
}

#[test]
fn mistakes_of_sources_are_told_with_their_key() {
    let bearer = "auth = [{ kind = \"bearer\", secret_env = \"AM_SECRET\" }]";
    let with = |lines: &str| source(&format!("kind = \"grafana\"\n{lines}"));
    for (text, key) in [
        (format!("[[sources]]\nkind = \"grafana\"\n{bearer}"), "sources[0].name"),
        (format!("[[sources]]\nname = \"A b\"\nkind = \"grafana\"\n{bearer}"), "sources[0].name"),
        (format!("{SOURCE}{}", SOURCE.replace("AM_", "GRAFANA_")), "sources[1].name"),
        (format!("{SOURCE}{}", SOURCE.replace("\"am\"", "\"b\"")), "sources[1].auth[0].secret_env"),
        (source(bearer), "sources[0].kind"),
        (source(&format!("kind = \"graphana\"\n{bearer}")), "sources[0].kind"),
        (with(""), "sources[0].auth"),
        (with("auth = []"), "sources[0].auth"),
        (with("auth = [\"bearer\"]"), "sources[0].auth[0]"),
        (with("auth = [{ secret_env = \"AM_SECRET\" }]"), "sources[0].auth[0].kind"),
        (with("auth = [{ kind = \"bearer\" }]"), "sources[0].auth[0].secret_file"),
        (with("auth = [{ kind = \"bearer\", secret_env = \"NOT_SET\" }]"), "sources[0].auth[0].secret_env"),
        (
            with("auth = [{ kind = \"bearer\", secret_env = \"A\", secret_file = \"b\" }]"),
            "sources[0].auth[0].secret_env",
        ),
        (with("auth = [{ kind = \"basic\", secret_env = \"AM_SECRET\" }]"), "sources[0].auth[0].username"),
        (with("auth = [{ kind = \"header\", secret_env = \"AM_SECRET\" }]"), "sources[0].auth[0].name"),
        (
            with("auth = [{ kind = \"header\", name = \"Host\", secret_env = \"AM_SECRET\" }]"),
            "sources[0].auth[0].name",
        ),
        (
            with("auth = [{ kind = \"hmac\", secret_env = \"AM_SECRET\", tolerance = \"1h\" }]"),
            "sources[0].auth[0].tolerance",
        ),
        (
            with("auth = [{ kind = \"hmac\", secret_env = \"AM_SECRET\", header = \"x\" }]"),
            "sources[0].auth[0].header",
        ),
        (with(&format!("trust = \"full\"\n{bearer}")), "sources[0].trust"),
        (with(&format!("allow_from = [\"here\"]\n{bearer}")), "sources[0].allow_from[0]"),
        (with(&format!("firing_values = [\"ALARM\"]\n{bearer}")), "sources[0].firing_values"),
        (source(&format!("kind = \"cloud_insight\"\n{bearer}")), "sources[0].auth[0].kind"),
        (with(&format!("servers = [\"4299\"]\n{bearer}")), "sources[0].servers"),
        (source(&format!("kind = \"guest\"\n{bearer}")), "sources[0].servers"),
        (source(&format!("kind = \"guest\"\nservers = []\n{bearer}")), "sources[0].servers"),
        (source(&format!("kind = \"guest\"\nservers = [1]\n{bearer}")), "sources[0].servers[0]"),
        (source(&format!("kind = \"guest\"\nname_pattern = \"(\"\n{bearer}")), "sources[0].name_pattern"),
    ] {
        check(&text, &[key]);
    }
}

#[test]
fn a_cloud_insight_secret_must_fit_what_it_can_send() {
    let text = format!(
        "{CLOUD}{}",
        source(
            "kind = \"cloud_insight\"\nauth = [{ kind = \"header\", name = \"X-Token\", secret_env = \"S\" }]"
        )
    );
    let long = "a".repeat(94);
    for (secret, good) in [("abc_DEF-0123456789", true), ("abc+def/0123456789", false), (&long, false)] {
        assert_eq!(outcome(&text, &[("S", secret)]).is_ok(), good, "{secret}");
    }
    assert_eq!(problems(&text, &[("S", &long)])[0].key, "sources[0].auth[0]");
}

#[test]
fn mistakes_of_policies_are_told_with_their_key() {
    for (line, key) in [
        ("mode = \"automatic\"", "policies.p.mode"),
        ("cooldown = \"1 day\"", "policies.p.cooldown"),
        ("cooldown = \"0s\"", "policies.p.cooldown"),
        ("settle = \"-1m\"", "policies.p.settle"),
        ("budget = []", "policies.p.budget"),
        ("budget = \"2/1h\"", "policies.p.budget"),
        ("budget = [\"2/1h\", \"x\"]", "policies.p.budget[1]"),
        ("target = []", "policies.p.target"),
        ("target = [\"server_instance_no\"]", "policies.p.target[0]"),
        ("sources = [\"nobody\"]", "policies.p.sources[0]"),
        ("region = \"seoul\"", "policies.p.region"),
        ("deny_servers = [7]", "policies.p.deny_servers[0]"),
        ("cool_down = \"1h\"", "policies.p.cool_down"),
        ("approval_wait = \"0s\"", "policies.p.approval_wait"),
    ] {
        check(&policy(line), &[key]);
    }
    for second in ["label:x", "label:x as ip"] {
        let never = format!("target = [\"label:x as name\", \"{second}\"]");
        check_warns(&policy(&never), "policies.p.target[1]");
    }
    let useful = loaded(&policy("target = [\"label:x as ip\", \"label:x as name\"]")).warnings;
    assert!(useful.iter().all(|warning| !warning.key.starts_with("policies.p.target")), "{useful:#?}");
    for (selector, key) in [
        ("", "policies.p.match"),
        ("match = {}", "policies.p.match"),
        ("match = []", "policies.p.match"),
        ("match = \"a=1\"", "policies.p.match"),
        ("match = { a = 1 }", "policies.p.match.a"),
        ("match = { a = \"\" }", "policies.p.match"),
        ("match = [\"a!=x\"]", "policies.p.match"),
        ("match = [\"a=1\", \"b=~(\"]", "policies.p.match[1]"),
        ("match = { \"a b\" = \"1\" }", "policies.p.match.a b"),
    ] {
        check(&format!("[[policies]]\nname = \"p\"\n{selector}\n{PEOPLE}"), &[key]);
    }
    let again = |second: &str| format!("{}\n[[policies]]\n{second}", policy(""));
    check(&again("name = \"p\"\nmatch = { a = \"2\" }"), &["policies[1].name"]);
    check(&again("name = \"q\"\nmatch = [\"a=1\"]"), &["policies.q.match"]);
    loaded(&again("name = \"q\"\nmatch = [\"a=1\"]\nmode = \"off\""));
}

#[test]
fn mistakes_of_limits_eligibility_and_maintenance_are_told_with_their_key() {
    for (text, key) in [
        ("[limits]\nserver = []", "limits.server"),
        ("[limits]\nglobal = [\"3/0s\"]", "limits.global[0]"),
        ("[limits]\nin_flight = 0", "limits.in_flight"),
        ("[limits]\nspacing = \"0s\"", "limits.spacing"),
        ("[eligibility]\nXEN = [\"macos\"]", "eligibility.XEN[0]"),
        ("[eligibility]\nXEN = \"windows\"", "eligibility.XEN"),
        ("[eligibility]\nxen = [\"windows\"]", "eligibility.xen"),
    ] {
        check(text, &[key]);
    }
    let window = |lines: &str| format!("[[maintenance]]\nname = \"w\"\n{lines}");
    let from = "from = \"2026-12-01T02:00:00+09:00\"";
    let until = "until = \"2026-12-01T05:00[Asia/Seoul]\"";
    for (lines, key) in [
        (format!("{from}\n{until}"), "maintenance[0]"),
        (format!("{from}\nregion = \"KR\""), "maintenance[0].until"),
        (format!("{until}\nfrom = \"2026-12-01T02:00\"\nregion = \"KR\""), "maintenance[0].from"),
        (format!("{until}\nfrom = 2026-12-01T02:00:00\nregion = \"KR\""), "maintenance[0].from"),
        (format!("{until}\nfrom = \"2026-12-01T05:00:00+09:00\"\nregion = \"KR\""), "maintenance[0].until"),
    ] {
        check(&window(&lines), &[key]);
    }
    let rules = loaded(&window(&format!("{from}\n{until}\nservers = [\"42\"]"))).config.rules;
    let Schedule::Once { from: _, until } = &rules.maintenance[0].schedule else { panic!("a dated window") };
    assert_eq!(until.to_string(), "2026-11-30T20:00:00Z");
    loaded("limits = { server = [\"0/24h\"] }");
    assert_eq!(loaded("eligibility = { XEN = [\"windows\"] }").config.rules.eligibility.0.len(), 1);
}

#[test]
fn mistakes_of_windows_that_come_again_are_told_with_their_key() {
    let window = |lines: &str| format!("[[maintenance]]\nname = \"w\"\n{lines}");
    let (cron, length) = ("cron = \"0 2 * * SUN\"", "duration = \"3h\"");
    let (zone, name) = ("timezone = \"Asia/Seoul\"", "name_pattern = \"win-.*\"");
    for (lines, key) in [
        (format!("cron = \"0 2 * *\"\n{length}\n{zone}\n{name}"), "maintenance[0].cron"),
        (format!("cron = \"0 2 30 2 *\"\n{length}\n{zone}\n{name}"), "maintenance[0].cron"),
        (format!("{length}\n{zone}\n{name}"), "maintenance[0].cron"),
        (format!("{cron}\nduration = \"0s\"\n{zone}\n{name}"), "maintenance[0].duration"),
        (format!("{cron}\nduration = \"169h\"\n{zone}\n{name}"), "maintenance[0].duration"),
        (format!("{cron}\n{zone}\n{name}"), "maintenance[0].duration"),
        (format!("{cron}\n{length}\ntimezone = \"KST\"\n{name}"), "maintenance[0].timezone"),
        (format!("{cron}\n{length}\n{name}"), "maintenance[0].timezone"),
        (format!("{cron}\n{length}\n{zone}"), "maintenance[0]"),
        (format!("{cron}\n{length}\n{zone}\nname_pattern = \"(\""), "maintenance[0].name_pattern"),
        (format!("{cron}\n{length}\n{zone}\n{name}\nuntil = 2026-12-01T00:00:00Z"), "maintenance[0].until"),
    ] {
        check(&window(&lines), &[key]);
    }
    check(
        &window(&format!("cron = \"x\"\n{length}\ntimezone = \"KST\"\n{name}")),
        &["maintenance[0].timezone", "maintenance[0].cron"],
    );
    let good = window(&format!("{cron}\n{length}\n{zone}\n{name}"));
    let rules = loaded(&good).config.rules;
    let now = "2026-11-21T17:30:00Z".parse().unwrap();
    assert_eq!(
        rules.maintenance[0].schedule.running_until(now).map(|at| at.to_string()).as_deref(),
        Some("2026-11-21T20:00:00Z")
    );
    let always = window(&format!("cron = \"0 * * * *\"\nduration = \"1h\"\n{zone}\nregion = \"KR\""));
    check_warns(&always, "maintenance[0].duration");
}

#[test]
fn mistakes_of_second_signals_are_told_with_their_key() {
    let prom = "kind = \"promql\", query = 'up{i=\"$ip\"}'";
    for (signal, key) in [
        ("{}".to_owned(), "kind"),
        ("{ kind = \"ping\", ports = [1] }".to_owned(), "kind"),
        ("{ kind = \"tcp_closed\" }".to_owned(), "ports"),
        ("{ kind = \"tcp_closed\", ports = [] }".to_owned(), "ports"),
        ("{ kind = \"tcp_closed\", ports = [0] }".to_owned(), "ports"),
        ("{ kind = \"tcp_closed\", ports = [65536] }".to_owned(), "ports"),
        ("{ kind = \"tcp_closed\", ports = [\"3389\"] }".to_owned(), "ports"),
        ("{ kind = \"tcp_closed\", ports = [1], timeout = \"11s\" }".to_owned(), "timeout"),
        ("{ kind = \"tcp_closed\", ports = [1], url = \"https://h\" }".to_owned(), "url"),
        (format!("{{ {prom} }}"), "url"),
        (format!("{{ {prom}, url = \"http://h.example\" }}"), "url"),
        (format!("{{ {prom}, url = \"http://h.example\", allow_http = false }}"), "url"),
        (format!("{{ {prom}, url = \"https://u:p@h.example\" }}"), "url"),
        (format!("{{ {prom}, url = \"https://h.example?q=1\" }}"), "url"),
        (format!("{{ {prom}, url = \"file:///etc/passwd\" }}"), "url"),
        (format!("{{ {prom}, url = \"h.example\" }}"), "url"),
        (format!("{{ {prom}, url = \"https://h\", allow_http = \"yes\" }}"), "allow_http"),
        (format!("{{ {prom}, url = \"https://h\", secret_env = \"NOT_SET\" }}"), "secret_env"),
        (format!("{{ {prom}, url = \"https://h\", token = \"x\" }}"), "token"),
        ("{ kind = \"promql\", url = \"https://h\" }".to_owned(), "query"),
        ("{ kind = \"promql\", url = \"https://h\", query = \"up == 0\" }".to_owned(), "query"),
        (
            "{ kind = \"promql\", url = \"https://h\", query = \"up{a='$ip',b='$region'}\" }".to_owned(),
            "query",
        ),
        ("{ kind = \"alertmanager\" }".to_owned(), "url"),
        ("{ kind = \"cloud_insight\", ports = [1] }".to_owned(), "ports"),
    ] {
        let found = problems(&format!("{CLOUD}{}", policy(&format!("corroborate = [{signal}]"))), &[]);
        let expected = format!("policies.p.corroborate[0].{key}");
        assert!(found.iter().any(|problem| problem.key == expected), "{signal}: {found:#?}");
    }
    check(&policy("corroborate = 1"), &["policies.p.corroborate"]);
    for good in [
        "kind = \"tcp_closed\", ports = [3389, 445], timeout = \"2s\"",
        "kind = \"promql\", url = \"http://127.0.0.1:9090\", query = 'up{i=~\"$ip:.*$\"} == 0'",
        "kind = \"promql\", url = \"http://h.example/prom/\", allow_http = true, query = 'up{i=\"$no\"}'",
        "kind = \"alertmanager\", url = \"https://h.example\", secret_env = \"AM_SECRET\"",
        "kind = \"cloud_insight\"",
    ] {
        let config = loaded(&policy(&format!("corroborate = [{{ {good} }}]"))).config;
        assert_eq!(config.rules.policies[0].corroborate.len(), 1, "{good}");
        assert_eq!(config.signal_secret("p", 0).is_some(), good.contains("secret_env"), "{good}");
    }
}

#[test]
fn mistakes_of_a_heartbeat_are_told_with_their_key() {
    let with = |heartbeat: &str| format!("{SOURCE}heartbeat = {heartbeat}\n{PEOPLE}");
    for (heartbeat, key) in [
        ("{ within = \"5m\" }", "sources[0].heartbeat.match"),
        ("{ match = {} }", "sources[0].heartbeat.match"),
        ("{ match = [\"a!=b\"] }", "sources[0].heartbeat.match"),
        ("{ match = { alertname = \"Watchdog\" }, within = \"1s\" }", "sources[0].heartbeat.within"),
        ("{ match = { alertname = \"Watchdog\" }, every = \"1m\" }", "sources[0].heartbeat.every"),
    ] {
        check(&with(heartbeat), &[key]);
    }
    check(&with("\"Watchdog\""), &["sources[0].heartbeat", "sources[0].heartbeat.match"]);
    // An alert that a policy waits for must not be swallowed as a heartbeat, whether the match is the same or wider.
    let policy = "[[policies]]\nname = \"p\"\ntarget = [\"label:no\"]\nmode = \"approve\"\n\
                  match = { alertname = \"Hung\", severity = \"page\" }\n";
    for swallowing in ["{ alertname = \"Hung\", severity = \"page\" }", "{ severity = \"page\" }"] {
        let text = format!("{}{policy}", with(&format!("{{ match = {swallowing} }}")));
        check(&text, &["sources.am.heartbeat.match"]);
    }
}

#[test]
fn mistakes_of_the_activity_record_are_told_with_their_key() {
    let endpoint = "endpoint = \"https://h.example\"";
    for (lines, key) in [
        (String::new(), "cloud.tracer.endpoint"),
        ("endpoint = \"http://h.example\"".to_owned(), "cloud.tracer.endpoint"),
        (format!("{endpoint}\naction_names = []"), "cloud.tracer.action_names"),
        (format!("{endpoint}\nsource_ips = [\"here\"]"), "cloud.tracer.source_ips[0]"),
        (format!("{endpoint}\nenabled = \"yes\""), "cloud.tracer.enabled"),
        (format!("{endpoint}\naction_name = [\"x\"]"), "cloud.tracer.action_name"),
    ] {
        check(&format!("[cloud]\nregion = \"KR\"\n[cloud.tracer]\n{lines}"), &[key]);
    }
    let with = |lines: &str| {
        let text = format!("[cloud]\nregion = \"KR\"\n[cloud.tracer]\n{endpoint}\n{lines}");
        outcome(&text, &[]).unwrap().config.cloud.tracer
    };
    assert_eq!(with("").unwrap().rules.success_values, ["SUCCESS"]);
    assert!(with("enabled = false").is_none());
    assert!(loaded("").config.cloud.tracer.is_none());
    assert_eq!(loaded("").config.cloud.insight_endpoint.unwrap(), "https://cw.apigw.ntruss.com");
    let elsewhere = "[cloud]\nregion = \"KR\"\nendpoint = \"https://h.example\"\n";
    assert!(outcome(elsewhere, &[]).unwrap().config.cloud.insight_endpoint.is_none());
    let asks = policy("corroborate = [{ kind = \"cloud_insight\" }]");
    assert_eq!(problems(&format!("{elsewhere}{asks}"), &[])[0].key, "cloud.insight_endpoint");
}

#[test]
fn a_watermark_below_the_ballast_is_told() {
    check_warns("[store]\nwatermark = \"32MiB\"", "store.watermark");
    let store = loaded("[store]\nwatermark = \"1GiB\"\nballast = \"0\"").config.store;
    assert_eq!((store.watermark_bytes, store.ballast_bytes), (1 << 30, 0));
}
