// What the dashboard costs: node tests/browser/numbers.js, by way of benches/dashboard.sh. Figures are printed, never asserted.
//
// The rows come through the door, as in life: deliveries of many alerts that no policy claims.

import { readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Site, tokenOf } from "./site.js";

const ROWS = Number(process.env.ROWS ?? 1_000_000);
const DASHBOARDS = 200;
const ALERTS_EACH = 1000;
const ROUNDS = Number(process.env.ROUNDS ?? 5);
const ROUND_MS = 4000;

const say = (what, value) => console.log(`${what.padEnd(78)} ${value}`);
const median = (all) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];

let told = 0;
/** A delivery of alerts that no policy claims. */
function delivery(alerts) {
  const all = [];
  for (let n = 0; n < alerts; n += 1) {
    told += 1;
    all.push({
      status: "firing", labels: { alertname: "DiskFull", n: String(told) }, annotations: {}, startsAt: new Date().toISOString(),
      endsAt: "0001-01-01T00:00:00Z", generatorURL: "", fingerprint: told.toString(16).padStart(16, "0"),
    });
  }
  return JSON.stringify({
    version: "4", groupKey: `{}:{n="${told}"}`, truncatedAlerts: 0, status: "firing", receiver: "r", groupLabels: {}, commonLabels: {},
    commonAnnotations: {}, externalURL: "http://a", alerts: all,
  });
}

const memory = (site) => Number(readFileSync(`/proc/${site.service.pid}/status`, "utf8").match(/VmRSS:\s+(\d+)/)[1]) / 1024;
const cpu = (site) => {
  const parts = readFileSync(`/proc/${site.service.pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(parts[11]) + Number(parts[12])) / 100;
};

/** Several senders at once for a while: alerts a second, and the time of the service that each costs. */
async function intake(site) {
  const end = Date.now() + ROUND_MS;
  const [begun, spent] = [Date.now(), cpu(site)];
  let alerts = 0;
  await Promise.all(Array.from({ length: 4 }, async () => {
    while (Date.now() < end) {
      await site.deliver(delivery(10));
      alerts += 10;
    }
  }));
  return { rate: (alerts * 1000) / (Date.now() - begun), cost: ((cpu(site) - spent) * 1e6) / alerts };
}

async function session(site) {
  const answer = await fetch(`${site.url}/login`, {
    method: "POST", redirect: "manual", headers: { origin: site.url, "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({ token: tokenOf("looker"), next: "/" }),
  });
  return answer.headers.get("set-cookie").split(";")[0];
}

/** Open dashboards: each has its stream and takes what comes; with `renew`, each reads its page again as the script does. */
async function open(site, cookie, renew) {
  const { hostname, port } = new URL(site.url);
  const all = [];
  for (let n = 0; n < DASHBOARDS; n += 1) {
    const socket = connect(Number(port), hostname);
    socket.write(`GET /api/v1/stream?brief=true HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncookie: ${cookie}\r\n\r\n`);
    await new Promise((resolve) => socket.once("data", resolve));
    const one = { socket, bytes: 0, busy: false, reads: 0, took: 0, open: true };
    socket.on("data", async (piece) => {
      one.bytes += piece.length;
      if (!renew || one.busy || !one.open) return;
      one.busy = true;
      await new Promise((done) => setTimeout(done, one.reads === 0 ? 0 : Math.min(10_000, Math.max(400, 15 * one.took))));
      if (!one.open) return;
      const asked = performance.now();
      await (await fetch(`${site.url}/`, { headers: { cookie, "x-unhang-live": "1" } })).arrayBuffer().catch(() => {});
      one.took = performance.now() - asked;
      one.reads += 1;
      one.busy = false;
    });
    all.push(one);
  }
  return all;
}

const close = (all) => all.forEach((one) => {
  one.open = false;
  one.socket.destroy();
});

const site = await Site.start({ server: "deliveries_per_second = 100000\nqueue_max = 10000" });
try {
  const begun = Date.now();
  let rows = 0;
  while (rows < ROWS) {
    await Promise.all([0, 1, 2].map(() => site.deliver(delivery(ALERTS_EACH))));
    rows = (await site.api("GET", "/api/v1/audit?limit=1")).items[0].seq;
  }
  say(`audit rows, made in ${Math.round((Date.now() - begun) / 1000)} s`, rows);
  say("store (MiB)", Math.round(statSync(join(site.dir, "data/unhang.db")).size / 2 ** 20));

  const cookie = await session(site);
  for (const path of ["/", "/incidents", "/deliveries", "/audit", "/audit?serverInstanceNo=4299", "/servers", "/policies", "/trends", "/holds"]) {
    const times = [];
    for (let n = 0; n < 30; n += 1) {
      const at = performance.now();
      const answer = await fetch(site.url + path, { headers: { cookie } });
      await answer.arrayBuffer();
      times.push(performance.now() - at);
      if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    }
    times.sort((a, b) => a - b);
    say(`${path}: median, 29 of 30, worst (ms)`, [times[15], times[28], times[29]].map((ms) => ms.toFixed(1)).join("  "));
  }

  await intake(site);
  const quiet = memory(site);
  const modes = { "no dashboard": null, "200 streams": () => open(site, cookie, false) };
  modes["200 dashboards that read their page again"] = () => open(site, cookie, true);
  const rates = {};
  let most = 0;
  // In turns, so that what else the machine does falls on all alike.
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [mode, start] of Object.entries(modes)) {
      const all = start ? await start() : [];
      (rates[mode] ??= []).push(await intake(site));
      if (all.length > 0) most = Math.max(most, memory(site) - quiet);
      close(all);
    }
  }
  for (const [mode, all] of Object.entries(rates)) {
    say(`intake, ${mode}: median alerts a second, service time each (µs)`, `${Math.round(median(all.map(({ rate }) => rate)))}  ${Math.round(median(all.map(({ cost }) => cost)))}`);
  }
  const base = rates["no dashboard"];
  for (const mode of Object.keys(rates).slice(1)) {
    say(`ratio of intake, ${mode}: median of ${ROUNDS} pairs`, median(rates[mode].map(({ rate }, n) => rate / base[n].rate)).toFixed(3));
  }
  say("memory without dashboards, and most that they added (MiB)", `${quiet.toFixed(0)}  ${most.toFixed(0)}`);
} finally {
  await site.end();
}
