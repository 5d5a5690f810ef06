//! Fleet: the simulated cloud with as many servers as a scenario needs, on a thread of its own.
//!
//! Never: trips the storm guard by itself; zones and subnets are many, so that no one of them has a thousand.

use crate::payload::{FIRST_SERVER, PER_REGION, region_of};

/// Servers of one zone and subnet: fewer than the most that `storm.same_zone` may be set to.
const PER_ZONE: u32 = 400;

/// The running cloud.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) cloud: simulator::Running,
    pub(crate) access: String,
    pub(crate) secret: String,
    pub(crate) servers: u32,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // A scenario runs on a runtime of its own, where no other may be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The regions that so many servers lie in.
pub(crate) fn regions(servers: u32) -> Vec<String> {
    (0..servers.div_ceil(PER_REGION)).map(|region| code_of(region * PER_REGION)).collect()
}

fn code_of(server: u32) -> String {
    region_of(server).map(char::from).into_iter().collect()
}

impl Fleet {
    pub(crate) fn start(servers: u32) -> Self {
        let mut scenario = simulator::Scenario::demo();
        let model = scenario.servers[0].clone();
        scenario.regions = regions(servers)
            .into_iter()
            .map(|code| simulator::RegionSpec { name: format!("Region {code}"), code })
            .collect();
        scenario.servers = (0..servers)
            .map(|n| simulator::ServerSpec {
                no: (FIRST_SERVER + n).to_string(),
                name: format!("win-{}", FIRST_SERVER + n),
                private_ip: format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255),
                public_ip: String::new(),
                region: code_of(n),
                zone: format!("{}-{}", code_of(n), n / PER_ZONE),
                subnet_no: (150_000 + n / PER_ZONE).to_string(),
                ..model.clone()
            })
            .collect();
        let (access, secret) = (scenario.access_key.clone(), scenario.secret_key.clone());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let cloud = std::thread::scope(|scope| {
            let starting = scope
                .spawn(|| runtime.block_on(simulator::start("127.0.0.1:0".parse().unwrap(), scenario, None)));
            starting.join().unwrap().unwrap()
        });
        Self { cloud, access, secret, servers, runtime: Some(runtime) }
    }
}
