//! A rolling upgrade: two versions side by side on one PostgreSQL, and nothing is lost and no server is interrupted twice.
//!
//! `bash tests/upgrade.sh` builds the older binary and names it in `UNHANG_OLDER_BINARY`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::postgres;
use crate::replicas::{deliver, dispatches, interrupted, one, proven, replica, server, signal};
use crate::support::{Cloud, Service, Site, alert, broken_laws, delivery, eventually, fleet, now_text};

/// Alerts that each replica gets in each step.
const BURST: u64 = 10;
/// The version before this one is replaced, and replaces, within this time.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(10);
/// A schema that no version has.
const FAR: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                   VALUES (9999, 'of a version to come', true, '\\x00', 0)";

fn version(binary: &Path) -> String {
    let told = Command::new(binary).arg("--version").output().unwrap();
    String::from_utf8(told.stdout).unwrap().trim().to_owned()
}

/// What the replicas were given, and what they promised.
struct Story<'c> {
    cloud: &'c Cloud,
    next: u64,
    acknowledged: Vec<String>,
}

impl Story<'_> {
    /// Every replica takes alerts, and the holder sends for each of them.
    fn burst(&mut self, replicas: &[&Service], holder: &Service, site: &Site) {
        for replica in replicas {
            let servers: Vec<String> = (self.next..self.next + BURST).map(server).collect();
            self.next += BURST;
            self.acknowledged.extend(servers.iter().map(|server| deliver(replica, server)));
            for server in &servers {
                interrupted(self.cloud, server, site);
                // What is open when a replica goes would be unknown, and then a person is asked for the next.
                proven(holder, server);
            }
            // Said again and again: it is known, whoever took it first.
            let starts_at = now_text();
            for note in ["once", "twice", "thrice"] {
                let said =
                    delivery(&[alert(&server(1), "firing", &starts_at)], &format!("{note} {starts_at}"));
                let (status, answer) = replica.deliver(&said).unwrap();
                assert_eq!(status, 202, "{answer}");
                self.acknowledged.push(answer["deliveryId"].as_str().unwrap().to_owned());
            }
        }
    }

    /// While one goes, another one takes alerts; how long until it dispatches, and sends for them.
    fn change(&mut self, goes: impl FnOnce(), stays: &Service, site: &Site) -> Duration {
        let begun = Instant::now();
        goes();
        let meanwhile = server(self.next);
        self.next += 1;
        self.acknowledged.push(deliver(stays, &meanwhile));
        eventually("the one that stays to dispatch", || dispatches(stays).then_some(()));
        let took = begun.elapsed();
        assert!(took < TAKE_OVER_WITHIN, "{took:?}");
        interrupted(self.cloud, &meanwhile, site);
        proven(stays, &meanwhile);
        took
    }
}

#[test]
#[ignore = "needs a binary of the version before: bash tests/upgrade.sh"]
#[expect(
    clippy::disallowed_methods,
    reason = "which binary is the older one is no configuration of the service"
)]
fn two_versions_work_side_by_side_and_replace_each_other() {
    let older = PathBuf::from(std::env::var("UNHANG_OLDER_BINARY").unwrap());
    let newer = PathBuf::from(env!("CARGO_BIN_EXE_unhang"));
    let versions = (version(&older), version(&newer));
    assert_ne!(versions.0, versions.1, "two versions that do not tell themselves apart prove nothing");
    println!("{} beside {}", versions.0, versions.1);

    let cloud = Cloud::start(fleet(200));
    let url = postgres::server().new_database();
    let database = url.rsplit('/').next().unwrap();
    // A version counts keys of its own, so hashes of two of them differ, as these do.
    let [a, b, c] = ["a", "b", "c"].map(|name| replica(&cloud, &url, name, ""));
    let [a2, b2] = ["a2", "b2"].map(|name| replica(&cloud, &url, name, "[breaker]\nfailures = 999\n"));
    let begin = |site: &Site, binary: &Path| {
        site.try_start_as(binary, &[]).unwrap_or_else(|said| panic!("{}: {said}", binary.display()))
    };
    let schema = || postgres::server().run(database, "SELECT max(version) FROM unhang._sqlx_migrations");
    let mut story = Story { cloud: &cloud, next: 1, acknowledged: Vec::new() };

    // As it was: the older one alone.
    let old_a = begin(&a, &older);
    eventually("the older one to dispatch", || dispatches(&old_a).then_some(()));
    let (old_b, old_c) = (begin(&b, &older), begin(&c, &older));
    story.burst(&[&old_a, &old_b, &old_c], &old_a, &a);
    let before = schema();

    // One that does not dispatch is replaced first, and brings the tables to where it wants them.
    assert_eq!(old_b.stop().0, 0);
    let new_b = begin(&b2, &newer);
    let migrated = schema() != before;
    println!("schema {before} before, {} with both running", schema());
    story.burst(&[&old_a, &new_b, &old_c], &old_a, &a);
    assert!(dispatches(&old_a) && !dispatches(&new_b), "a standby of another version waits like any other");

    // Then the one that does, in order. The other older one does not look at that moment.
    signal(&old_c, "-STOP");
    let took = story.change(|| assert_eq!(old_a.stop().0, 0), &new_b, &b2);
    signal(&old_c, "-CONT");
    println!("older to newer, stopped in order: {took:?}");
    story.burst(&[&old_c, &new_b], &new_b, &b2);

    // The other way round, in the middle of the upgrade: the newer one dies, and the older one that is left takes over.
    let took = story.change(|| new_b.kill(), &old_c, &c);
    println!("newer to older, killed: {took:?}");
    story.burst(&[&old_c], &old_c, &c);
    let new_b = begin(&b2, &newer);
    story.burst(&[&old_c, &new_b], &old_c, &c);
    if !migrated {
        postgres::server().run(database, &format!("SET search_path = unhang; {FAR}"));
        story.burst(&[&old_c], &old_c, &c);
    }
    let took = story.change(|| old_c.kill(), &new_b, &b2);
    println!("older to newer, killed: {took:?}");

    // Who ran went on over tables that are further on; who starts is refused.
    let said = c.try_start_as(&older, &[]).err().unwrap();
    assert!(said.contains(&format!("was written by a newer unhang (schema {})", schema())), "{said}");
    if !migrated {
        postgres::server().run(database, "DELETE FROM unhang._sqlx_migrations WHERE version = 9999");
    }

    // And done.
    let new_a = begin(&a2, &newer);
    story.burst(&[&new_b, &new_a], &new_b, &b2);
    // The first server of all: the newest one knows what the oldest one sent.
    new_b.deliver(&one(&server(1))).unwrap();
    assert_eq!((new_a.stop().0, new_b.stop().0), (0, 0));
    assert_eq!(broken_laws(&b2, &cloud, &story.acknowledged), Vec::<String>::new());
    let told_of = usize::try_from(story.next - 1).unwrap();
    println!(
        "{} deliveries for {told_of} servers, {} effects",
        story.acknowledged.len(),
        cloud.effects().len()
    );
    assert_eq!(cloud.effects().len(), told_of, "one effect for each server that was told of");
}
