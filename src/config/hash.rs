//! The hash of the effective configuration: equal for equal behaviour, however it was written.
//!
//! Never: contains a secret or anything derived from one.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    AuditConfig, CloudConfig, Config, CredentialConfig, DashboardConfig, DispatchConfig, InventoryConfig,
    OtlpConfig, ReceiverConfig, ServerConfig, ServerRoleConfig, SourceConfig, StoreConfig, TlsConfig,
    TokenConfig, TracerConfig, VerifyConfig,
};

/// SHA-256 (hex) over everything but secrets.
pub(super) fn hash(config: &Config) -> String {
    let Config {
        hash: _,
        server,
        store,
        cloud,
        sources,
        rules,
        dispatch,
        verify,
        inventory,
        tokens,
        signal_secrets: _,
        audit,
        dashboard,
        notify,
        telemetry,
    } = config;
    let AuditConfig { key, old_keys: _, heads_file, heads_named: _, heads_every } = audit;
    let DashboardConfig { idle, session_max, zone, proxy_login } = dashboard;
    let StoreConfig { place, path, replica: _, hold_file, journal, watermark_bytes, ballast_bytes } = store;
    let DispatchConfig { tick } = dispatch;
    let VerifyConfig { poll, window: verify_window, give_up } = verify;
    let InventoryConfig { refresh, fresh_for, lookup_for } = inventory;
    let mut whole = json!({
        "server": server_value(server),
        "store": {
            "path": path.to_string_lossy(), "holdFile": hold_file.to_string_lossy(), "journal": journal.to_string_lossy(),
            "watermark": watermark_bytes, "ballast": ballast_bytes,
        },
        "cloud": cloud_value(cloud),
        "sources": sources.iter().map(source_value).collect::<Vec<_>>(),
        "rules": serde_json::to_value(rules).unwrap_or_else(|_| Value::String(format!("{rules:?}"))),
        "dispatch": { "tick": tick },
        "verify": { "poll": poll, "window": verify_window, "giveUp": give_up },
        "inventory": { "refresh": refresh, "freshFor": fresh_for, "lookupFor": lookup_for },
        "tokens": tokens.iter().map(token_value).collect::<Vec<_>>(),
        "audit": {
            "keyed": key.is_some(), "headsFile": heads_file.to_string_lossy(), "headsEvery": heads_every,
        },
        "dashboard": {
            "idle": idle, "sessionMax": session_max, "zone": zone,
            "proxyLogin": proxy_login.as_ref().map(|p| json!({ "header": p.header, "from": p.from })),
        },
        "notify": notify.iter().map(receiver_value).collect::<Vec<_>>(),
        "telemetry": telemetry.otlp.as_ref().map(otlp_value),
    });
    if place.is_shared() {
        leave_out_what_is_of_a_replica(&mut whole);
    }
    hex::encode(Sha256::digest(whole.to_string()))
}

/// Replicas on one server must decide alike; where each of them listens and keeps its own files is its own matter.
fn leave_out_what_is_of_a_replica(whole: &mut Value) {
    for (section, keys) in [
        ("server", &["listen", "opsListen", "tls"][..]),
        ("store", &["path", "holdFile", "journal"]),
        ("audit", &["headsFile"]),
    ] {
        let Some(section) = whole.get_mut(section).and_then(Value::as_object_mut) else { continue };
        for key in keys {
            section.remove(*key);
        }
    }
}

fn otlp_value(otlp: &OtlpConfig) -> Value {
    let OtlpConfig { traces_url, bearer } = otlp;
    json!({ "tracesUrl": traces_url, "bearer": bearer.is_some() })
}

fn server_value(server: &ServerConfig) -> Value {
    let ServerConfig {
        listen,
        ops_listen,
        tls,
        body_bytes_max,
        alerts_max,
        label_bytes_max,
        labels_max,
        body_timeout,
        deliveries_per_second,
        queue_max,
        streams_max,
        write_timeout,
        public_url,
        trusted_proxies,
    } = server;
    // Of a renewed certificate the hash knows nothing.
    let tls = tls.as_ref().map(|TlsConfig { certificate_file, key_file, client_ca_file, validity: _ }| {
        json!({
            "certificateFile": certificate_file.to_string_lossy(), "keyFile": key_file.to_string_lossy(),
            "clientCaFile": client_ca_file.as_ref().map(|file| file.to_string_lossy()),
        })
    });
    json!({
        "opsListen": ops_listen, "tls": tls,
        "listen": listen, "bodyBytesMax": body_bytes_max, "alertsMax": alerts_max,
        "labelBytesMax": label_bytes_max, "labelsMax": labels_max, "bodyTimeout": body_timeout,
        "deliveriesPerSecond": deliveries_per_second, "queueMax": queue_max, "streamsMax": streams_max,
        "writeTimeout": write_timeout, "publicUrl": public_url, "trustedProxies": trusted_proxies,
    })
}

fn cloud_value(cloud: &CloudConfig) -> Value {
    let CloudConfig {
        endpoint,
        region,
        method,
        response_format,
        access_key: _,
        secret_key: _,
        timeout,
        read_timeout,
        reads_per_second,
        clock_skew_max,
        insight_endpoint,
        tracer,
        date,
        server_role,
    } = cloud;
    let role = server_role.as_ref().map(|ServerRoleConfig { url, role }| json!({ "url": url, "role": role }));
    let tracer = tracer
        .as_ref()
        .map(|TracerConfig { endpoint, rules }| json!({ "endpoint": endpoint, "rules": rules }));
    json!({
        "endpoint": endpoint, "region": region, "method": method.as_str(),
        "responseFormat": response_format.as_str(), "timeout": timeout, "readTimeout": read_timeout,
        "readsPerSecond": reads_per_second, "clockSkewMax": clock_skew_max, "date": date.as_str(),
        "insightEndpoint": insight_endpoint, "tracer": tracer, "serverRole": role,
    })
}

fn source_value(source: &SourceConfig) -> Value {
    let SourceConfig {
        name,
        kind,
        trust,
        auth,
        allow_from,
        firing_values,
        resolved_values,
        heartbeat,
        speaks_for,
    } = source;
    json!({
        "name": name, "kind": kind.as_str(), "trust": trust,
        "auth": auth.iter().map(credential_value).collect::<Vec<_>>(),
        "allowFrom": allow_from, "firingValues": firing_values, "resolvedValues": resolved_values,
        "heartbeat": heartbeat.as_ref().map(|h| json!({ "match": h.matchers, "within": h.within })),
        "speaksFor": speaks_for,
    })
}

fn credential_value(credential: &CredentialConfig) -> Value {
    match credential {
        CredentialConfig::Bearer { secret: _ } => json!({ "kind": "bearer" }),
        CredentialConfig::Basic { username, secret: _ } => json!({ "kind": "basic", "username": username }),
        CredentialConfig::Header { name, secret: _ } => json!({ "kind": "header", "name": name }),
        CredentialConfig::Hmac { secret: _, signature_header, timestamp_header, tolerance } => json!({
            "kind": "hmac", "signatureHeader": signature_header,
            "timestampHeader": timestamp_header, "tolerance": tolerance,
        }),
        CredentialConfig::ClientCertificate { san } => {
            json!({ "kind": "client_certificate", "san": san.to_string() })
        }
    }
}

fn token_value(token: &TokenConfig) -> Value {
    let TokenConfig { name, role, sha256: _ } = token;
    json!({ "name": name, "role": role.as_str() })
}

fn receiver_value(receiver: &ReceiverConfig) -> Value {
    let ReceiverConfig {
        name,
        kind,
        url,
        url_is_secret,
        sign_key: _,
        bearer,
        events,
        timeout,
        give_up,
        repeat,
        wording,
    } = receiver;
    let url = (!url_is_secret).then(|| url.expose_secret());
    json!({
        "name": name, "kind": kind.as_str(), "url": url, "bearer": bearer.is_some(), "events": events,
        "timeout": timeout, "giveUp": give_up, "repeat": repeat, "templates": wording,
    })
}
