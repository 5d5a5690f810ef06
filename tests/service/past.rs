//! A past: interrupts of some time ago, written into the store of a service that does not run.

use crate::support::Site;

/// Writes a confirmed interrupt of a server, so many minutes ago, with a cooldown of 24 h. The service must have run
/// once on this store.
pub(crate) fn interrupted(site: &Site, server: &str, minutes_ago: i64) {
    attempted(site, server, minutes_ago, "accepted", "confirmed");
}

/// The identifier of the remediation of such a past.
pub(crate) fn remediation_of(server: &str) -> String {
    format!("00000000-0000-7000-8000-{server:0>12}")
}

/// Writes an attempt with this outcome, whose remediation then ended so; with the outcome's own word it is still open.
#[expect(clippy::disallowed_methods, reason = "the past is counted from now")]
pub(crate) fn attempted(site: &Site, server: &str, minutes_ago: i64, outcome: &str, end: &str) {
    let at = jiff::Timestamp::now().as_millisecond() - minutes_ago * 60_000;
    let id = remediation_of(server);
    let ending = if end == outcome {
        String::new()
    } else {
        format!("UPDATE remediation SET state = '{end}', finished_at = {at} WHERE id = '{id}';")
    };
    let run = format!(
        "INSERT INTO incident (id, server_no, region_code, server_name, opened_at, last_seen_at, closed_at) \
           VALUES ('{id}', '{server}', 'KR', 'then', {at}, {at}, {at});
         INSERT INTO remediation (id, incident_id, state, server_no, region_code, server, policy, policy_hash, config_hash, \
           source, alert, needs_person, trace_id, created_at, settle_until, not_before, last_notice_at, waiting_since) \
           SELECT '{id}', '{id}', 'settling', server_no, region_code, server, 'hung-windows', '', '', 'alertmanager', \
           '{{\"fingerprint\":\"then\",\"status\":\"firing\",\"name\":\"then\",\"labels\":{{}},\"startsAt\":null,\
           \"endsAt\":null,\"senderTime\":null,\"neverActionable\":null}}', 0, '4bf92f3577b34da6a3ce929d0e0e4736', {at}, {at}, {at}, {at}, {at} \
           FROM server WHERE server_no = '{server}';
         INSERT INTO attempt (remediation_id, try, nonce, epoch, server_no, region_code, policy, intent_at, signed_at, \
           send_before, request_hash, memory_bytes, cooldown_until, outcome, outcome_at) \
           VALUES ('{id}', 1, '{id}', (SELECT max(epoch) FROM owner), '{server}', 'KR', 'hung-windows', {at}, {at}, {at}, '', 1, \
           {at} + 86400000, '{outcome}', {at});
         UPDATE remediation SET state = 'queued' WHERE id = '{id}';
         UPDATE remediation SET state = 'intent' WHERE id = '{id}';
         UPDATE remediation SET state = '{outcome}' WHERE id = '{id}';
         {ending}"
    );
    site.sql(&run);
}
