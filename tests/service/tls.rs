//! TLS of our own door: renewed certificates, clients that show one, and the second address.

use std::time::Duration;

use reqwest::blocking::{Client, ClientBuilder};
use reqwest::{Certificate, Identity};
use serde_json::Value;

use crate::authority::{Authority, Pair};
use crate::support::{
    ALERTMANAGER_TOKEN, Cloud, OPERATOR, PATIENCE, Service, Settings, Site, VIEWER, alert, delivery,
    eventually, fleet, now_text,
};

const FIRST: &str = "91000001";
const OPEN: &str = "listen = \"127.0.0.1:0\"\n";
const DOOR: &str = "tls = { certificate_file = \"door.pem\", key_file = \"door.key\" }";
const ASKS: &str =
    "tls = { certificate_file = \"door.pem\", key_file = \"door.key\", client_ca_file = \"clients.pem\" }";

fn put(site: &Site, pair: &Pair) {
    site.secret("door.key", &pair.key);
    site.secret("door.pem", &pair.certificate);
}

/// A client that trusts one authority and takes up no connection again.
fn builder(trusts: &Authority) -> ClientBuilder {
    let root = Certificate::from_pem(trusts.pem().as_bytes()).unwrap();
    Client::builder()
        .tls_certs_only([root])
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
}

fn client(trusts: &Authority) -> Client {
    builder(trusts).pool_max_idle_per_host(0).build().unwrap()
}

fn showing(trusts: &Authority, pair: &Pair) -> Client {
    identified(builder(trusts), pair).pool_max_idle_per_host(0).build().unwrap()
}

fn identified(builder: ClientBuilder, pair: &Pair) -> ClientBuilder {
    builder.identity(Identity::from_pem(format!("{}{}", pair.certificate, pair.key).as_bytes()).unwrap())
}

fn https(service: &Service) -> String {
    service.url.replace("http://", "https://")
}

fn signal(service: &Service, name: &str) {
    let pid = service.pid().to_string();
    assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
}

fn figure(client: &Client, url: &str, name: &str) -> Option<f64> {
    let text = client.get(format!("{url}/metrics")).send().ok()?.text().ok()?;
    text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))?.parse().ok())
}

fn said(site: &Site, text: &str) -> usize {
    std::fs::read_to_string(site.log()).unwrap().lines().filter(|line| line.contains(text)).count()
}

fn ready(client: &Client, url: &str) -> Value {
    client.get(format!("{url}/readyz")).send().unwrap().json().unwrap()
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_leaves_the_old() {
    let cloud = Cloud::start(fleet(1));
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    put(&site, &old.door(60));
    site.write(&Settings { server: format!("{OPEN}{DOOR}"), ..Settings::new(&cloud.running.endpoint()) });
    let service = site.start();
    let url = https(&service);
    let (with_old, with_new) = (client(&old), client(&new));
    let answers =
        |client: &Client| client.get(format!("{url}/livez")).send().is_ok_and(|told| told.status() == 200);
    assert!(answers(&with_old) && !answers(&with_new));
    assert!(
        reqwest::blocking::get(format!("{}/livez", service.url)).is_err(),
        "nothing is served in the clear"
    );
    let until = figure(&with_old, &url, "unhang_tls_certificate_expires_timestamp_seconds{}").unwrap();
    let expires: jiff::Timestamp =
        ready(&with_old, &url)["checks"]["information"]["certificate"]["expiresAt"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
    assert!((until - expires.duration_since(jiff::Timestamp::UNIX_EPOCH).as_secs_f64()).abs() < 1.0);

    // Half of a renewal, and what is no certificate at all: the old one stays, and everybody can see why.
    let renewed = new.door(70);
    for (name, text, why) in [
        ("door.pem", renewed.certificate.as_str(), "is not the key of the first certificate"),
        ("door.pem", "no certificate", "holds no certificate in PEM"),
    ] {
        site.secret(name, text);
        let before = said(&site, "the old one stays");
        signal(&service, "-HUP");
        eventually("the refusal", || (said(&site, "the old one stays") > before).then_some(()));
        let seen = ready(&with_old, &url)["checks"]["information"]["certificate"].clone();
        assert!(seen["files"].as_str().unwrap().contains(why), "{seen}");
        assert_eq!(figure(&with_old, &url, "unhang_tls_files_broken{}"), Some(1.0));
        assert!(answers(&with_old) && !answers(&with_new));
    }
    assert!(said(&site, "new certificate files are not used") >= 2);
    // One that has expired already is no renewal.
    put(&site, &new.door(-1));
    signal(&service, "-HUP");
    eventually("the refusal", || {
        let seen = ready(&with_old, &url)["checks"]["information"]["certificate"].clone();
        seen["files"].as_str().unwrap().contains("the certificate expired at").then_some(())
    });

    // Whole, and nobody says so: it is found by itself.
    put(&site, &renewed);
    eventually("the renewed certificate", || answers(&with_new).then_some(()));
    assert!(!answers(&with_old));
    assert_eq!(figure(&with_new, &url, "unhang_tls_files_broken{}"), Some(0.0));
    assert!(figure(&with_new, &url, "unhang_tls_certificate_expires_timestamp_seconds{}").unwrap() > until);
    assert_eq!(service.stop().0, 0);
}

#[test]
fn check_config_tells_each_fault_of_the_certificate_and_what_to_do() {
    let cloud = Cloud::start(fleet(1));
    let settings = |server: &str| Settings {
        server: format!("{OPEN}{server}"),
        ..Settings::new(&cloud.running.endpoint())
    };
    let site = Site::new(&settings(ASKS));
    let authority = Authority::new("one");
    let (good, other) = (authority.door(60), authority.door(60));
    site.secret("clients.pem", &authority.pem());
    let check = |expected: i32, says: &[&str]| {
        let (code, told, trouble) = site.run(&["check-config", "--config", "unhang.toml"]);
        assert_eq!(code, expected, "{told}{trouble}");
        for text in says {
            assert!(told.contains(text), "{text}: {told}");
        }
        assert!(!told.contains("PRIVATE KEY") && !told.contains(good.key.lines().nth(1).unwrap()), "{told}");
    };
    check(2, &["error: server.tls.certificate_file: ", "no such file"]);
    put(&site, &good);
    check(0, &["ok: "]);
    site.secret("door.key", &other.key);
    check(2, &["error: server.tls.key_file: ", "is not the key of the first certificate"]);
    site.secret("door.key", &good.certificate);
    check(2, &["error: server.tls.key_file: ", "holds no private key"]);
    site.secret("door.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    check(2, &["error: server.tls.key_file: ", "kind that cannot be used"]);
    std::fs::remove_file(site.dir.path().join("door.key")).unwrap();
    std::fs::create_dir(site.dir.path().join("door.key")).unwrap();
    check(2, &["error: server.tls.key_file: ", "not a regular file"]);
    std::fs::remove_dir(site.dir.path().join("door.key")).unwrap();
    put(&site, &good);
    site.secret("door.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    check(2, &["error: server.tls.certificate_file: ", "cannot be read"]);
    put(&site, &authority.door(-1));
    check(2, &["error: server.tls.certificate_file: the certificate expired at ", "put a renewed one"]);
    put(&site, &authority.door(13));
    check(0, &["warning: server.tls.certificate_file: the certificate expires at ", "renew it"]);
    put(&site, &authority.door(16));
    let (_, told, _) = site.run(&["check-config", "--config", "unhang.toml"]);
    assert!(!told.contains("server.tls"), "{told}");
    site.secret("clients.pem", "no certificate");
    check(2, &["error: server.tls.client_ca_file: ", "holds no certificate"]);

    // A service with an expired one starts all the same, and says so.
    site.secret("clients.pem", &authority.pem());
    put(&site, &authority.door(-1));
    let service = site.start();
    assert!(said(&site, "the certificate expired at") == 1);
    service.stop();

    site.write(&settings("tls = {}"));
    check(2, &["error: server.tls.certificate_file: missing", "error: server.tls.key_file: missing"]);
    site.write(&Settings { server: "listen = \"0.0.0.0:8080\"".to_owned(), ..settings("") });
    check(0, &["warning: server.listen: not a loopback address, without server.tls"]);
    site.write(&settings("ops_listen = \"127.0.0.1:99999\""));
    check(2, &["error: server.ops_listen: expected an address"]);
    site.write(&Settings {
        server: "listen = \"127.0.0.1:8080\"\nops_listen = \"127.0.0.1:8080\"".to_owned(),
        ..settings("")
    });
    check(2, &["error: server.ops_listen: must be another address"]);
}

/// Sources that know their senders by a certificate: one by either of two names, one by a third, one by a token.
const BY_CERTIFICATE: &str = r#"
[[sources]]
name = "mesh"
kind = "alertmanager"
trust = "act"
auth = [
  { kind = "client_certificate", san = "dns:am.example" },
  { kind = "client_certificate", san = "uri:spiffe://example/am" },
]
[[sources]]
name = "third"
kind = "alertmanager"
auth = [{ kind = "client_certificate", san = "dns:third.example" }]
"#;

struct Stage {
    cloud: Cloud,
    site: Site,
    service: Service,
    doors: Authority,
    clients: Authority,
}

impl Stage {
    fn new() -> Self {
        let cloud = Cloud::start(fleet(1));
        let site = Site::new(&Settings::new(&cloud.running.endpoint()));
        let (doors, clients) = (Authority::new("doors"), Authority::new("clients"));
        put(&site, &doors.door(60));
        site.secret("clients.pem", &clients.pem());
        site.write(&Settings {
            server: format!("{OPEN}{ASKS}"),
            more: BY_CERTIFICATE.to_owned(),
            ..Settings::new(&cloud.running.endpoint())
        });
        let service = site.start();
        let stage = Self { cloud, site, service, doors, clients };
        let plain = client(&stage.doors);
        eventually("the inventory", || {
            (stage.api(&plain, "/api/v1/servers")["items"].as_array()?.len() == 1).then_some(())
        });
        stage
    }

    fn api(&self, client: &Client, path: &str) -> Value {
        let told = client.get(format!("{}{path}", https(&self.service))).bearer_auth(VIEWER).send().unwrap();
        told.json().unwrap()
    }

    fn send(&self, client: &Client, source: &str, token: Option<&str>) -> (u16, Value) {
        let starts_at = now_text();
        let body = delivery(&[alert(FIRST, "firing", &starts_at)], &starts_at);
        let mut asking = client.post(format!("{}/webhooks/{source}", https(&self.service)));
        if let Some(token) = token {
            asking = asking.bearer_auth(token);
        }
        let told = asking.header("content-type", "application/json").body(body.to_string()).send().unwrap();
        let (status, mut answer) = (told.status().as_u16(), told.json::<Value>().unwrap());
        if status != 202 {
            answer.as_object_mut().unwrap().remove("traceId");
        }
        (status, answer)
    }
}

#[test]
fn every_fault_of_a_client_certificate_is_the_answer_to_every_other_credential() {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let on = Stage::new();
    let show = |pair: &Pair| showing(&on.doors, pair);
    let (doors, clients, strangers) = (&on.doors, &on.clients, Authority::new("clients"));
    let am = clients.client(&["dns:am.example"]);
    let cases = [
        ("nothing", client(doors), "mesh"),
        ("another authority of the same name", show(&strangers.client(&["dns:am.example"])), "mesh"),
        ("the authority of the door", show(&doors.client(&["dns:am.example"])), "mesh"),
        ("expired", show(&clients.client_until(&["dns:am.example"], -1, ClientAuth)), "mesh"),
        ("made for servers", show(&clients.client_until(&["dns:am.example"], 30, ServerAuth)), "mesh"),
        ("no names, but the subject's", show(&clients.client(&[])), "mesh"),
        ("a longer name", show(&clients.client(&["dns:am.example.org"])), "mesh"),
        ("a shorter name", show(&clients.client(&["dns:m.example"])), "mesh"),
        ("a star", show(&clients.client(&["dns:*.example"])), "mesh"),
        ("the name as an address", show(&clients.client(&["uri:am.example", "mail:a@am.example"])), "mesh"),
        ("another address", show(&clients.client(&["uri:spiffe://example/am/x"])), "mesh"),
        ("an address in capitals", show(&clients.client(&["uri:SPIFFE://example/am"])), "mesh"),
        ("of another source", show(&clients.client(&["dns:third.example"])), "mesh"),
        ("the other way", show(&am), "third"),
        ("a source that asks for a token", show(&am), "alertmanager"),
        ("an unknown source", show(&am), "stranger"),
    ];
    let expected = on.send(&client(doors), "alertmanager", Some("wrong"));
    assert_eq!((expected.0, &expected.1["code"]), (401, &Value::from("bad_credential")));
    for (what, client, source) in &cases {
        assert_eq!(on.send(client, source, None), expected, "{what}");
    }
    // The header of a proxy that nobody has configured says nothing.
    let forged = client(doors).post(format!("{}/webhooks/mesh", https(&on.service)));
    let forged =
        forged.header("x-ssl-client-verify", "SUCCESS").header("x-forwarded-client-cert", "DNS=am.example");
    assert_eq!(forged.body("{}").send().unwrap().status(), 401);

    // Strangers leave a counter, and nothing else.
    let plain = client(doors);
    let url = https(&on.service);
    let count = |source: &str| {
        let name = format!("unhang_deliveries_total{{source=\"{source}\",result=\"unauthenticated\"}}");
        figure(&plain, &url, &name)
    };
    assert_eq!((count("mesh"), count("third"), count("unknown")), (Some(14.0), Some(1.0), Some(1.0)));
    let page = on.api(&plain, "/api/v1/deliveries");
    assert_eq!(page["items"].as_array().unwrap().len(), 0, "{page}");
    assert_eq!(on.cloud.requests(FIRST), 0);

    // Either name is good, one of several too, in any spelling that DNS knows; and a token where one is asked for.
    for names in [&["dns:am.example"][..], &["uri:spiffe://example/am"], &["dns:x.example", "dns:AM.Example"]]
    {
        let (status, answer) = on.send(&show(&clients.client(names)), "mesh", None);
        assert_eq!(status, 202, "{names:?}: {answer}");
    }
    assert_eq!(on.send(&show(&am), "alertmanager", Some(ALERTMANAGER_TOKEN)).0, 202);
    assert_eq!(on.send(&show(&strangers.client(&[])), "alertmanager", Some(ALERTMANAGER_TOKEN)).0, 202);
    assert!(on.cloud.requests(FIRST) <= 1);
}

/// Shows a certificate and signs with another key.
#[derive(Debug)]
struct Thief(std::sync::Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Thief {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        Some(std::sync::Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn a_certificate_without_its_key_opens_no_connection() {
    use std::io::{Read as _, Write as _};
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let on = Stage::new();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (own, other) = (on.clients.client(&["dns:am.example"]), on.clients.client(&["dns:x.example"]));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(on.doors.pem().as_bytes()).unwrap()).unwrap();
    let answer = |key: &str, version: &'static rustls::SupportedProtocolVersion| {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
        let thief = Thief(Arc::new(rustls::sign::CertifiedKey::new(chain, key)));
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_client_cert_resolver(Arc::new(thief));
        let mut session =
            rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut socket = std::net::TcpStream::connect(on.service.url.trim_start_matches("http://")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        let request = "POST /webhooks/mesh HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                       content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        let _may_be_refused_already = stream.write_all(request.as_bytes());
        let mut told = Vec::new();
        let _ended = stream.read_to_end(&mut told);
        String::from_utf8_lossy(&told).lines().next().unwrap_or_default().to_owned()
    };
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        assert_eq!(answer(&own.key, version), "HTTP/1.1 422 Unprocessable Entity", "{version:?}");
        assert_eq!(answer(&other.key, version), "", "{version:?}");
    }
}

#[test]
fn an_authority_is_replaced_without_a_restart_also_for_connections_that_last() {
    let on = Stage::new();
    let next = Authority::new("next");
    let names = ["dns:am.example"];
    let (old, new) = (on.clients.client(&names), next.client(&names));
    // These keep their connection.
    let lasting = |pair: &Pair| identified(builder(&on.doors), pair).build().unwrap();
    let (with_old, with_new) = (lasting(&old), lasting(&new));
    let status = |client: &Client| on.send(client, "mesh", None).0;
    assert_eq!((status(&with_old), status(&with_new)), (202, 401));
    let replace = |text: &str| {
        let before = said(&on.site, "the configuration was read again");
        on.site.secret("clients.pem", text);
        signal(&on.service, "-HUP");
        eventually("the authorities", || {
            (said(&on.site, "the configuration was read again") > before).then_some(())
        });
    };
    replace(&format!("{}{}", on.clients.pem(), next.pem()));
    assert_eq!((status(&with_old), status(&with_new)), (202, 202));
    replace(&next.pem());
    assert_eq!((status(&with_old), status(&with_new)), (401, 202));

    // A name is taken out like any other credential.
    let text = std::fs::read_to_string(&on.site.config).unwrap();
    std::fs::write(&on.site.config, text.replace("dns:am.example", "dns:am2.example")).unwrap();
    replace(&next.pem());
    assert_eq!(status(&with_new), 401);
}

#[test]
fn a_certificate_as_a_credential_is_checked_in_the_configuration() {
    let cloud = Cloud::start(fleet(1));
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let authority = Authority::new("one");
    put(&site, &authority.door(60));
    site.secret("clients.pem", &authority.pem());
    let check = |server: &str, source: &str, says: &str| {
        let more = format!("[[sources]]\nname = \"mesh\"\nkind = \"alertmanager\"\nauth = [{source}]\n");
        let server = format!("{OPEN}{server}");
        site.write(&Settings { server, more, ..Settings::new(&cloud.running.endpoint()) });
        let (code, told, _) = site.run(&["check-config", "--config", "unhang.toml"]);
        assert!(told.contains(says), "{source}: {told}");
        assert_eq!(code, if says.starts_with("ok") { 0 } else { 2 }, "{told}");
    };
    let kind = "{ kind = \"client_certificate\", san = ";
    check(ASKS, &format!("{kind}\"dns:am.example\" }}"), "ok: ");
    check(ASKS, &format!("{kind}\"uri:spiffe://example/am\" }}"), "ok: ");
    for wrong in ["am.example", "dns:", "dns:*.example", "dns:a b", "uri:", "uri:nothing", "cn:am.example"] {
        check(
            ASKS,
            &format!("{kind}\"{wrong}\" }}"),
            "sources[1].auth[0].san: expected the one alternative name",
        );
    }
    check(ASKS, "{ kind = \"client_certificate\" }", "sources[1].auth[0].san: missing");
    check(DOOR, &format!("{kind}\"dns:am.example\" }}"), "needs server.tls.client_ca_file");
    check("", &format!("{kind}\"dns:am.example\" }}"), "needs server.tls.client_ca_file");
    check(
        ASKS,
        &format!("{kind}\"dns:am.example\", secret_file = \"am\" }}"),
        "sources[1].auth[0].secret_file: unknown key",
    );
    let twice = format!(
        "{kind}\"dns:am.example\" }}]\n[[sources]]\nname = \"two\"\nkind = \"grafana\"\nauth = [{kind}\"dns:AM.example\" }}"
    );
    check(ASKS, &twice, "the same name as sources[1].auth[0].san; every source needs its own");
}

#[test]
fn people_log_in_over_our_own_tls_with_a_cookie_that_never_leaves_it() {
    let on = Stage::new();
    let client = client(&on.doors);
    let log_in = |more: &[(&str, &str)]| {
        let url = https(&on.service);
        let mut asking = client.post(format!("{url}/login")).header("origin", &url);
        for (name, value) in more {
            asking = asking.header(*name, *value);
        }
        asking.form(&[("token", OPERATOR)]).send().unwrap()
    };
    let told = log_in(&[]);
    assert_eq!(told.status(), 303);
    let cookie = told.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["__Host-unhang_session=", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap();
    let get = |path: &str| {
        client.get(format!("{}{path}", https(&on.service))).header("cookie", cookie).send().unwrap()
    };
    assert_eq!(
        (get("/").status(), get("/api/v1/audit").status()),
        (200.try_into().unwrap(), 200.try_into().unwrap())
    );
    // A proxy between us that nobody trusts: its own client may be on a plain line.
    assert_eq!(log_in(&[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")]).status(), 403);
}

#[test]
fn the_command_line_reaches_a_service_with_tls() {
    let on = Stage::new();
    on.site.secret("doors.pem", &on.doors.pem());
    on.site.secret("oncall", OPERATOR);
    on.site.secret("others.pem", &Authority::new("others").pem());
    on.site.secret("nothing.pem", "no certificate");
    let url = https(&on.service);
    let run = |verb: &str, more: &[&str], env: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_unhang"));
        command.args([verb, "--url", &url]).args(more).current_dir(on.site.dir.path()).env_clear();
        let output = command.envs(env.iter().copied()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let token = ["--token-file", "oncall"];
    let with = |file: &'static str| [&token[..], &["--ca-file", file]].concat();
    // The authorities of the system, those that are named, and those of the environment.
    for (more, env) in [
        (token.to_vec(), [("SSL_CERT_FILE", "doors.pem")]),
        (with("doors.pem"), [("SSL_CERT_FILE", "others.pem")]),
        (token.to_vec(), [("UNHANG_CA_FILE", "doors.pem")]),
    ] {
        let (code, told, trouble) = run("status", &more, &env);
        assert_eq!(code, 0, "{told}{trouble}");
        assert!(told.contains("nothing needs a person"), "{told}");
        assert!(told.contains("certificate of ip:127.0.0.1 dns:localhost, good until 20"), "{told}");
    }
    // Those that are named, and no others.
    let (code, _, trouble) = run("status", &with("others.pem"), &[("SSL_CERT_FILE", "doors.pem")]);
    assert!(code == 3 && trouble.contains("certificate"), "{code} {trouble}");
    for (file, says) in [("none.pem", "No such file"), ("nothing.pem", "holds no certificate in PEM")] {
        let (code, _, trouble) = run("status", &with(file), &[]);
        assert!(code == 2 && trouble.contains("--ca-file") && trouble.contains(says), "{code} {trouble}");
    }
    assert_eq!(run("health", &["--ca-file", "doors.pem"], &[]).0, 0);
    assert_eq!(run("health", &["--ca-file", "others.pem"], &[]).0, 3);
    let (_, told, _) = run("status", &[&with("doors.pem")[..], &["--output", "json"]].concat(), &[]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["certificate"]["files"], "ok", "{told}");
}

#[test]
fn health_and_figures_have_an_address_of_their_own_where_one_is_named() {
    let cloud = Cloud::start(fleet(1));
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let doors = Authority::new("doors");
    put(&site, &doors.door(60));
    site.write(&Settings {
        server: format!("{OPEN}ops_listen = \"127.0.0.1:0\"\n{DOOR}"),
        ..Settings::new(&cloud.running.endpoint())
    });
    let service = site.start();
    let log = std::fs::read_to_string(site.log()).unwrap();
    let ops = log.lines().find_map(|line| {
        serde_json::from_str::<Value>(line)
            .ok()?
            .get("ops_addr")?
            .as_str()
            .map(|addr| format!("http://{addr}"))
    });
    let ops = ops.unwrap();
    let plain = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let secure = client(&doors);
    let get = |client: &Client, url: &str, path: &str| {
        let told = client.get(format!("{url}{path}")).bearer_auth(VIEWER).send().unwrap();
        (told.status().as_u16(), told.text().unwrap())
    };
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(&plain, &ops, path).0, 200, "{path}");
        assert_eq!(get(&secure, &https(&service), path).0, 200, "{path}");
    }
    assert!(get(&plain, &ops, "/metrics").1.contains("unhang_tls_certificate_expires_timestamp_seconds"));
    assert_eq!(get(&secure, &https(&service), "/metrics").0, 404);
    for path in ["/", "/login", "/api/v1/audit", "/api/openapi.json", "/assets/style.css"] {
        assert_eq!(get(&plain, &ops, path).0, 404, "{path}");
    }
    let told =
        plain.post(format!("{ops}/webhooks/alertmanager")).bearer_auth(ALERTMANAGER_TOKEN).body("{}").send();
    let told = told.unwrap();
    assert_eq!(told.status(), 404);
    assert_eq!(told.headers()["content-type"], "application/problem+json");
    let (code, took) = service.stop();
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(10), "{took:?}");
}
