//! `unhang health` beside a real service: well, frozen, gone, and with a configuration that has since been broken.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::authority::Authority;
use crate::senders::quiet_port;
use crate::support::{Cloud, Settings, Site, fleet};

/// Exit code, and what was said.
fn health(site: &Site, args: &[&str]) -> (i32, String) {
    let (code, said, trouble) = site.run(&[&["health"], args].concat());
    (code, said + &trouble)
}

#[test]
fn a_service_is_ready_then_frozen_then_gone() {
    let cloud = Cloud::start(fleet(2));
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let service = site.start();
    let url = service.url.as_str();
    assert_eq!(health(&site, &["--url", url]), (0, "ready\n".to_owned()));
    assert_eq!(health(&site, &["--url", url, "--live"]), (0, "alive\n".to_owned()));
    // Not an address of this service, but one that answers.
    let (code, said) = health(&site, &["--url", &format!("{url}/elsewhere")]);
    assert!(code == 1 && said.contains("answered 404"), "{code} {said}");

    let pid = service.pid().to_string();
    assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
    let begun = Instant::now();
    let (code, said) = health(&site, &["--url", url, "--live", "--within", "1"]);
    assert!(code == 3 && said.contains("timed out"), "{code} {said}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
    assert_eq!(health(&site, &["--url", url]).0, 0);

    service.kill();
    let (code, said) = health(&site, &["--url", url]);
    assert!(code == 3 && said.contains("cannot reach the service"), "{code} {said}");
}

#[test]
fn the_configured_listener_is_asked_whatever_else_the_file_says_by_now() {
    let cloud = Cloud::start(fleet(2));
    let listen = format!("listen = \"0.0.0.0:{}\"", quiet_port());
    let settings = Settings { server: listen.clone(), ..Settings::new(&cloud.running.endpoint()) };
    let site = Site::new(&settings);
    let _service = site.start();
    assert_eq!(health(&site, &[]), (0, "ready\n".to_owned()), "from unhang.toml of its folder");

    std::fs::write(
        &site.config,
        format!("[server]\n{listen}\nnonsense = 1\n[[policies]]\nmode = \"perhaps\"\n"),
    )
    .unwrap();
    assert_eq!(health(&site, &[]), (0, "ready\n".to_owned()));
    std::fs::write(&site.config, "[server]\nlisten = \"somewhere\"\n").unwrap();
    let (code, said) = health(&site, &[]);
    assert!(code == 2 && said.contains("server.listen"), "{code} {said}");
    std::fs::write(&site.config, "[server\n").unwrap();
    assert_eq!(health(&site, &[]).0, 2);
    std::fs::write(&site.config, "[server]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let (code, said) = health(&site, &[]);
    assert!(code == 2 && said.contains("--url"), "{code} {said}");
}

#[test]
fn a_listener_with_tls_is_asked_over_tls_and_one_for_figures_is_asked_instead() {
    let cloud = Cloud::start(fleet(2));
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let door = Authority::new("door").door(60);
    site.secret("door.key", &door.key);
    site.secret("door.pem", &door.certificate);
    let tls = "tls = { certificate_file = \"door.pem\", key_file = \"door.key\" }";
    let listen = format!("listen = \"127.0.0.1:{}\"\n{tls}", quiet_port());
    site.write(&Settings { server: listen.clone(), ..Settings::new(&cloud.running.endpoint()) });
    let service = site.start();
    assert_eq!(health(&site, &[]), (0, "ready\n".to_owned()));
    // An address that somebody names is a stranger, whose certificate counts.
    let named = service.url.replace("http://", "https://");
    assert_eq!(health(&site, &["--url", &named]).0, 3);
    drop(service);

    let figures = format!("{listen}\nops_listen = \"127.0.0.1:{}\"", quiet_port());
    site.write(&Settings { server: figures, ..Settings::new(&cloud.running.endpoint()) });
    let _service = site.start();
    assert_eq!(health(&site, &["--live"]), (0, "alive\n".to_owned()));
}
