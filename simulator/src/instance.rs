//! Instance: a server in the fields of the vendor's `ServerInstance` type, and the envelopes around answers.
//!
//! Field names, order and empty values are those of the vendor's examples.
//!
//! Never: shows the private address, or whether a guest hangs; the vendor's answers do not.

use crate::description::ServerSpec;
use crate::document::{Format, Node};

/// What surrounds a successful answer.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) format: Format,
    pub(crate) request_id: Option<String>,
    pub(crate) return_code: Option<String>,
}

impl Envelope {
    /// The documented success: `returnCode` `"0"`, and a `requestId` in JSON. The vendor's VPC examples in XML
    /// carry none.
    pub(crate) fn success(format: Format, request_id: &str) -> Self {
        let request_id = (format == Format::Json).then(|| request_id.to_owned());
        Self { format, request_id, return_code: Some("0".to_owned()) }
    }

    /// Puts a list into the envelope. JSON has the list first, XML the codes first.
    pub(crate) fn wrap(&self, total_rows: usize, list_name: &'static str, list: Node) -> Node {
        let rows = Node::Number(u64::try_from(total_rows).unwrap_or(u64::MAX));
        let content = [("totalRows", rows), (list_name, list)];
        let mut codes = Vec::new();
        if let Some(request_id) = &self.request_id {
            codes.push(("requestId", Node::text(request_id)));
        }
        if let Some(return_code) = &self.return_code {
            let message = if return_code == "0" { "success" } else { "The request was not completed." };
            codes.push(("returnCode", Node::text(return_code)));
            codes.push(("returnMessage", Node::text(message)));
        }
        Node::Object(match self.format {
            Format::Json => content.into_iter().chain(codes).collect(),
            Format::Xml => codes.into_iter().chain(content).collect(),
        })
    }
}

/// A list of servers.
pub(crate) fn server_list(servers: Vec<Node>) -> Node {
    Node::List("serverInstance", servers)
}

/// One server.
pub(crate) fn server(spec: &ServerSpec) -> Node {
    let (image_product, image_no, spec_code) = image(spec);
    let public_ip_no = if spec.public_ip.is_empty() { "" } else { "91000001" };
    Node::Object(vec![
        ("serverInstanceNo", Node::text(&spec.no)),
        ("serverName", Node::text(&spec.name)),
        ("serverDescription", Node::text("")),
        ("cpuCount", Node::Number(spec.cpu_count)),
        ("memorySize", Node::Number(spec.memory_bytes)),
        ("platformType", coded(&spec.platform, platform_name(&spec.platform))),
        ("loginKeyName", Node::text("sample-key")),
        ("publicIpInstanceNo", Node::text(public_ip_no)),
        ("publicIp", Node::text(&spec.public_ip)),
        ("serverInstanceStatus", coded(&spec.status, &status_code_name(&spec.status))),
        ("serverInstanceOperation", coded(&spec.operation, &operation_code_name(&spec.operation))),
        ("serverInstanceStatusName", Node::text(status_name(spec))),
        ("createDate", Node::text(&spec.create_date)),
        ("uptime", Node::text(&spec.uptime)),
        ("serverImageProductCode", Node::text(image_product)),
        ("serverProductCode", Node::text("")),
        ("isProtectServerTermination", Node::Flag(false)),
        ("zoneCode", Node::text(&spec.zone)),
        ("regionCode", Node::text(&spec.region)),
        ("vpcNo", Node::text(&spec.vpc_no)),
        ("subnetNo", Node::text(&spec.subnet_no)),
        ("networkInterfaceNoList", Node::List("networkInterfaceNo", vec![Node::text("8800011")])),
        ("initScriptNo", Node::text("")),
        ("serverInstanceType", coded("STAND", "Standard")),
        ("baseBlockStorageDiskType", coded("NET", "Network storage")),
        ("baseBlockStorageDiskDetailType", coded("SSD", "SSD")),
        ("placementGroupNo", Node::text("")),
        ("placementGroupName", Node::text("")),
        ("memberServerImageInstanceNo", Node::text("")),
        ("hypervisorType", coded(&spec.hypervisor, &spec.hypervisor)),
        ("serverImageNo", Node::text(image_no)),
        ("serverSpecCode", Node::text(spec_code)),
        ("eventList", Node::List("event", Vec::new())),
        ("fabricClusterPoolNo", Node::text("")),
        ("fabricClusterPoolName", Node::text("")),
        ("fabricClusterMode", Node::text("")),
        ("fabricClusterNo", Node::text("")),
        ("fabricClusterName", Node::text("")),
    ])
}

fn coded(code: &str, name: &str) -> Node {
    Node::Object(vec![("code", Node::text(code)), ("codeName", Node::text(name))])
}

/// Image product, image number and spec code as in the examples of each kind.
fn image(spec: &ServerSpec) -> (&'static str, &'static str, &'static str) {
    match (spec.hypervisor.as_str(), spec.platform.starts_with("WND")) {
        ("XEN", true) => ("SW.VSVR.OS.WND64.WND.SVR2019EN.B100", "16190001", "s2-g2-s100"),
        ("XEN", false) => ("SW.VSVR.OS.LNX64.ROCKY.0810.B050", "16190044", "s2-g2-s50"),
        (_, true) => ("", "23210001", "s4-g3"),
        (_, false) => ("", "23220002", "s2-g3"),
    }
}

fn platform_name(code: &str) -> &str {
    match code {
        "WND64" => "Windows 64 Bit",
        "WND32" => "Windows 32 Bit",
        "LNX64" => "Linux 64 Bit",
        "LNX32" => "Linux 32 Bit",
        other => other,
    }
}

fn status_code_name(code: &str) -> String {
    match code {
        "NSTOP" => "Server normal stopped status".to_owned(),
        other => format!("Server {other} status"),
    }
}

fn operation_code_name(code: &str) -> String {
    match code {
        "SETUP" => "Currently in SETUP status".to_owned(),
        other => format!("Server {other} OP"),
    }
}

/// `serverInstanceStatusName`, from the list of the vendor's type page; `stopped` is UNCONFIRMED.
fn status_name(spec: &ServerSpec) -> &'static str {
    match (spec.operation.as_str(), spec.status.as_str()) {
        ("SETUP", _) => "setting up",
        ("START", _) => "booting",
        ("RESTA", _) => "rebooting",
        ("HREST", _) => "hard rebooting",
        ("SHTDN", _) => "shutting down",
        ("HSHTD", _) => "hard shutting down",
        ("TERMT", _) | (_, "TERMT") => "terminating",
        ("CHNG", _) => "changingSpec",
        ("COPY", _) => "copying",
        (_, "INIT") => "init",
        (_, "CREAT") => "creating",
        (_, "RUN") => "running",
        (_, "NSTOP" | "FSTOP") => "stopped",
        (_, _) => "repairing",
    }
}
