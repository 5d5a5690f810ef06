//! Actions: the calls under `/vserver/v2/`, by GET with a query or by POST with a form.
//!
//! Never: keeps state; that is `cloud`. Answers exactly one request with exactly one reply.

use std::time::Duration;

use uuid::Uuid;

use crate::behaviour::{Behaviour, Delivery};
use crate::cloud::{Cloud, Interrupt, Received, Refusal};
use crate::document::{Format, Node};
use crate::filter::{BadParameter, Filter};
use crate::gateway::{self, Denial};
use crate::instance::{self, Envelope};
use crate::params::Params;
use crate::performance::{Call, Reply, not_controllable, perform, response_error};
use crate::wire::{Answer, Request};

/// Base path of the VPC server API; Classic lives elsewhere and is not played here.
const BASE: &str = "/vserver/v2/";

/// Answers a call to the cloud.
pub(crate) async fn answer(cloud: &Cloud, request: &Request) -> Reply {
    let params = Params::of(request);
    let action = request.path().strip_prefix(BASE).unwrap_or_default();
    let known_method = matches!(request.method.as_str(), "GET" | "POST");
    if action == "interruptServerInstance" && known_method {
        return interrupt(cloud, request, &params).await;
    }
    if let Err(denial) = cloud.authenticate(request) {
        return Reply::Whole(denial.answer(gateway::error_format(&params)));
    }
    match (action, known_method) {
        ("getRegionList" | "getServerInstanceList" | "getServerInstanceDetail", true) => {
            read(cloud, action, request, &params).await
        }
        _ => Reply::Whole(Denial::NotFound.answer(gateway::error_format(&params))),
    }
}

async fn interrupt(cloud: &Cloud, request: &Request, params: &Params) -> Reply {
    let format = format(params);
    let error_format = gateway::error_format(params);
    let asked = Interrupt {
        method: &request.method,
        server_instance_no: params.get("serverInstanceNo"),
        region_code: params.get("regionCode"),
        timestamp: request.header("x-ncp-apigw-timestamp"),
        json: format == Format::Json,
    };
    if let Err(denial) = cloud.authenticate(request) {
        cloud.turned_away(&asked);
        return Reply::Whole(denial.answer(error_format));
    }
    let Some(received) = cloud.receive(&asked) else {
        return Reply::Whole(Denial::EndpointError.answer(error_format));
    };
    let Received { seq, behaviour, request_id, mut outcome } = received;
    linger(&behaviour).await;
    if let Delivery::After { .. } = behaviour.delivery() {
        outcome = Some(cloud.deliver_late(seq, &asked, &request_id));
    }
    let call = Call { target: &request.target, format, error_format, request_id: &request_id };
    perform(&behaviour, &call, |envelope| match outcome {
        Some(Ok(server)) => {
            let body = envelope.wrap(1, "serverInstanceList", instance::server_list(vec![server]));
            body.answer(200, "interruptServerInstanceResponse", envelope.format)
        }
        Some(Err(refusal)) => refused(refusal, envelope.format),
        None => Denial::Unexpected.answer(error_format),
    })
}

async fn read(cloud: &Cloud, action: &str, request: &Request, params: &Params) -> Reply {
    let behaviour = cloud.behaviour_for_read(params.get("serverInstanceNo"));
    linger(&behaviour).await;
    let request_id = Uuid::new_v4().to_string();
    let call = Call {
        target: &request.target,
        format: format(params),
        error_format: gateway::error_format(params),
        request_id: &request_id,
    };
    perform(&behaviour, &call, |envelope| {
        let found = match action {
            "getRegionList" => Ok(regions(cloud, envelope, &request_id)),
            "getServerInstanceDetail" => detail(cloud, params, envelope),
            _ => list(cloud, params, envelope),
        };
        found.unwrap_or_else(|refusal| refused(refusal, envelope.format))
    })
}

/// The wait of the behaviours that make the caller wait for a proper answer.
async fn linger(behaviour: &Behaviour) {
    if let Behaviour::OkSlow { ms } | Behaviour::DoneAfter { ms } = behaviour {
        tokio::time::sleep(Duration::from_millis(*ms)).await;
    }
}

/// `getRegionList`: the one answer whose XML example does carry a `requestId`.
fn regions(cloud: &Cloud, envelope: &Envelope, request_id: &str) -> Answer {
    let mut envelope = envelope.clone();
    if envelope.format == Format::Xml {
        envelope.request_id = Some(request_id.to_owned());
    }
    let regions = &cloud.scenario.regions;
    let rows = regions.iter().map(|region| {
        Node::Object(vec![("regionCode", Node::text(&region.code)), ("regionName", Node::text(&region.name))])
    });
    let body = envelope.wrap(regions.len(), "regionList", Node::List("region", rows.collect()));
    body.answer(200, "getRegionListResponse", envelope.format)
}

/// `getServerInstanceDetail`: an unknown number is an empty list.
fn detail(cloud: &Cloud, params: &Params, envelope: &Envelope) -> Result<Answer, Refusal> {
    let region = cloud.region(params.get("regionCode"))?;
    let no = params.get("serverInstanceNo").ok_or(Refusal::BadParameter("serverInstanceNo"))?;
    let servers: Vec<Node> = cloud.detail(region, no).into_iter().collect();
    let body = envelope.wrap(servers.len(), "serverInstanceList", instance::server_list(servers));
    Ok(body.answer(200, "getServerInstanceDetailResponse", envelope.format))
}

/// `getServerInstanceList`: `totalRows` is the full count, also of one page.
fn list(cloud: &Cloud, params: &Params, envelope: &Envelope) -> Result<Answer, Refusal> {
    let region = cloud.region(params.get("regionCode"))?;
    let filter = Filter::of(params).map_err(|BadParameter(name)| Refusal::BadParameter(name))?;
    let (total, servers) = cloud.list(region, &filter);
    let body = envelope.wrap(total, "serverInstanceList", instance::server_list(servers));
    Ok(body.answer(200, "getServerInstanceListResponse", envelope.format))
}

/// Refusals are HTTP 400; only 1100031 is known to be so.
fn refused(refusal: Refusal, format: Format) -> Answer {
    match refusal {
        Refusal::NotControllable => not_controllable(400, format),
        Refusal::UnknownServer => {
            response_error(400, refusal.code(), "The server instance does not exist.", format)
        }
        Refusal::BadParameter(name) => {
            response_error(400, refusal.code(), &format!("The parameter {name} is not valid."), format)
        }
        Refusal::UnknownRegion => response_error(400, refusal.code(), "The region does not exist.", format),
    }
}

/// `responseFormatType`: XML unless JSON is asked for, as the vendor does.
fn format(params: &Params) -> Format {
    match params.get("responseFormatType") {
        Some(asked) if asked.eq_ignore_ascii_case("json") => Format::Json,
        Some(_) | None => Format::Xml,
    }
}
