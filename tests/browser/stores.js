// What the pages are looked at with: a store in which everything that can be shown is there, hostile texts among it.

import { HOSTILE } from "./site.js";

// Labels with control characters are put aside at the door; what is left of them is in the raw delivery.
const { control: _aside, ...HOSTILE_LABELS } = HOSTILE;

/** Fills a store; says where what is. */
export async function fill(site) {
  const found = {};
  // Proven, sent and lost, refused, waiting, settling, and one whose guest never comes back.
  await site.hang("90000101");
  found.confirmed = (await site.alert("90000101", { name: "WindowsVmHungAuto" })).remediationId;
  await site.reaches(found.confirmed, "confirmed");
  await site.misbehave("90000103", { kind: "status_404" });
  found.rejected = (await site.alert("90000103", { name: "WindowsVmHungAuto" })).remediationId;
  await site.reaches(found.rejected, "rejected", "not_sent");
  // From here on that policy asks a person.
  found.unknown = await site.unknownRemediation("90000102");
  found.waiting = await site.waitingRemediation("90000104");
  found.settling = (await site.alert("90000105", { name: "WindowsVmSlow" })).remediationId;
  found.suppressed = await site.alert("90000990");
  found.nobody = await site.alert("99999999");
  found.again = await site.alert("90000104", { annotations: { summary: "told again" } });

  // A sender that wants the page to break, about servers whose names do.
  found.hostile = await site.waitingRemediation("90000900", { labels: HOSTILE_LABELS, annotations: HOSTILE });
  found.aside = await site.alert("90000107", { labels: { control: HOSTILE.control } });
  for (const no of ["90000901", "90000902", "90000903"]) await site.waitingRemediation(no, { labels: { note: HOSTILE.script } });
  found.hostileDelivery = (await site.api("GET", `/api/v1/remediations/${found.hostile}`)).deliveryId;
  const unreadable = await fetch(`${site.url}/webhooks/alertmanager`, {
    method: "POST",
    headers: { authorization: "Bearer alertmanager-browser-token-01", "content-type": "application/json" },
    body: `{"${HOSTILE.image}": ${HOSTILE.script}`,
  });
  if (unreadable.status < 400) throw new Error(`an unreadable body was answered ${unreadable.status}`);
  // A person who pastes anything as a reason.
  await site.api("POST", `/api/v1/remediations/${found.settling}/cancel`, { reason: `${HOSTILE.image} ${HOSTILE.override}` }, "oncall");
  await site.api("POST", "/api/v1/holds", { scope: "server", name: "90000940", reason: `${HOSTILE.script}${HOSTILE.override}` }, "oncall");
  await site.api("POST", "/api/v1/silences", { matchers: [`hostname=~"${HOSTILE.attribute.replaceAll('"', "")}.*"`], comment: HOSTILE.image, duration: "4h" }, "oncall");
  found.settling = (await site.alert("90000106", { name: "WindowsVmSlow" })).remediationId;
  found.incident = (await site.api("GET", `/api/v1/remediations/${found.confirmed}`)).incidentId;
  found.hostileIncident = (await site.api("GET", `/api/v1/remediations/${found.hostile}`)).incidentId;
  return found;
}

/** Every page, with the address that shows most. */
export function pages(found = {}) {
  const all = { now: "/", incidents: "/incidents", holds: "/holds", deliveries: "/deliveries", audit: "/audit", explain: "/explain", servers: "/servers", policies: "/policies", trends: "/trends" };
  if (found.confirmed) {
    Object.assign(all, {
      incident: `/incidents/${found.incident}`,
      "incident-hostile": `/incidents/${found.hostileIncident}`,
      "remediation-waiting": `/remediations/${found.waiting}`,
      "remediation-unknown": `/remediations/${found.unknown}`,
      "remediation-confirmed": `/remediations/${found.confirmed}`,
      "remediation-hostile": `/remediations/${found.hostile}`,
      "delivery-hostile": `/deliveries/${found.hostileDelivery}`,
      "audit-filtered": "/audit?serverInstanceNo=90000101",
      "explain-server": "/explain?server=90000101",
      server: "/servers/90000101",
      "server-hostile": "/servers/90000900",
    });
  }
  return all;
}
