// The whole thing on this machine: the simulated cloud and the service, as real processes with a folder of their own.
//
// Ends only the processes that were started here. Every wait looks at a condition and has an end.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync, closeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

const BINARY = process.env.UNHANG_BINARY ?? "../../target/release/unhang";
/** Longest that anything here waits for, in milliseconds. */
export const PATIENCE = 60_000;
const ALERTMANAGER_TOKEN = "alertmanager-browser-token-01";
const PEOPLE = { looker: "viewer", oncall: "operator", lead: "approver", deputy: "approver", boss: "admin" };

/** Token of a person; made up for these tests. */
export const tokenOf = (name) => `${name}-browser-token-000000000001`;

/** Asks until the answer is something, or fails. */
export async function eventually(what, ask, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited too long for ${what}`);
    await pause(20);
  }
}

const server = (no, name, more = "") =>
  `[[servers]]\nno = ${JSON.stringify(no)}\nname = ${JSON.stringify(name)}\nhypervisor = "XEN"\n${more}`;

const policy = (name, mode, alert, settle = "0s", budget = "1000/1h") => `[[policies]]
name = "${name}"
mode = "${mode}"
match = { alertname = "${alert}" }
target = ["label:server_instance_no"]
settle = "${settle}"
cooldown = "24h"
budget = ["${budget}"]`;

/** Ends a process and waits until it is gone. */
async function ended(child, signal) {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await gone;
}

/** Texts that break pages which do not expect them. */
export const HOSTILE = {
  image: "<img src=x onerror=alert(1)>",
  script: '"><script>alert(2)</script>',
  attribute: "' onmouseover='alert(3)' x='",
  override: "gpj.\u202Eexe.evil\u202C\u2066x",
  formula: '=HYPERLINK("http://evil.example/","click")',
  plus: "+1+1|cmd",
  control: "a\u0000b\u0007c\u001b[31md\r\ne",
  template: "{{ 7 * 7 }}${7*7}</title></main></body>",
  long: "L".repeat(4096),
};
const HOSTILE_NAMES = [HOSTILE.image, HOSTILE.script, HOSTILE.override, HOSTILE.formula];

function fleet() {
  const servers = [server("4299", "win-pay-07")];
  for (let n = 1; n <= 40; n += 1) servers.push(server(String(90000100 + n), `win-web-${String(n).padStart(2, "0")}`, n % 2 ? "" : 'zone = "KR-2"\nsubnet_no = "150023"\n'));
  HOSTILE_NAMES.forEach((name, n) => servers.push(server(String(90000900 + n), name)));
  servers.push(server("90000990", "lnx-web-01", 'platform = "LNX64"\n'));
  return servers.join("\n");
}

export class Site {
  #children = [];

  constructor(settings) {
    this.settings = settings;
    this.dir = mkdtempSync(join(tmpdir(), "unhang-browser-"));
    for (const [name, text] of [
      ["access", "EXAMPLE-ACCESS-KEY-0001"],
      ["secret", "example-secret-key-do-not-use-000000001"],
      ["audit-key", "audit-key-of-the-tests-32-bytes-long"],
      ["am", ALERTMANAGER_TOKEN],
    ]) {
      writeFileSync(join(this.dir, name), text, { mode: 0o600 });
    }
    mkdirSync(join(this.dir, "data"));
  }

  /** Starts the cloud and the service. */
  static async start(settings = {}) {
    const site = new Site(settings);
    try {
      await site.startCloud();
      await site.serve(settings.environment);
    } catch (error) {
      await site.end();
      throw error;
    }
    return site;
  }

  async startCloud() {
    const scenario = join(this.dir, "fleet.toml");
    writeFileSync(scenario, `${this.settings.scenario ?? "reboot_seconds = 0.2\n"}${fleet()}`);
    const child = this.#spawn(["simulate-cloud", "--listen", "127.0.0.1:0", "--scenario", scenario]);
    this.cloud = await this.#firstLine(child.stdout, (text) => text.match(/at (http:\/\/\S+)/)?.[1]);
    this.cloudProcess = child;
  }

  /** Starts the service, or starts it again on the same folder. */
  async serve(environment = {}) {
    const config = join(this.dir, "unhang.toml");
    writeFileSync(config, this.#config());
    const child = this.#spawn(["serve", "--config", config, "--log-format", "json"], environment);
    const addr = await this.#firstLine(child.stderr, (text) => {
      appendFileSync(join(this.dir, "unhang.log"), `${text}\n`);
      return text.match(/"addr":"([^"]+)"/)?.[1];
    });
    this.url = `http://${addr}`;
    this.port = new URL(this.url).port;
    this.service = child;
    await eventually("the inventory", async () => {
      const page = await this.api("GET", "/api/v1/servers?limit=1");
      return page.items.length > 0;
    });
  }

  /** Ends the service and starts it again at the same address: every session is over. */
  async restart() {
    await this.stop();
    await this.serve(this.settings.environment);
  }

  async stop() {
    await ended(this.service, "SIGTERM");
  }

  #config() {
    const { mode = "approve", more = "", server: serverKeys = "", dashboard = "", limits = "" } = this.settings;
    const people = Object.entries(PEOPLE).map(([name, role]) =>
      `[[tokens]]\nname = "${name}"\nrole = "${role}"\nsha256 = "${createHash("sha256").update(tokenOf(name)).digest("hex")}"\n`);
    return `
[server]
listen = "127.0.0.1:${this.port ?? 0}"
${serverKeys}
[store]
url = "sqlite://${join(this.dir, "data/unhang.db")}"
watermark = "1MiB"
ballast = "0"
[cloud]
endpoint = "${this.cloud}"
region = "KR"
access_key_file = "access"
secret_key_file = "secret"
timeout = "5s"
reads_per_second = 1000
[[sources]]
name = "alertmanager"
kind = "alertmanager"
trust = "act"
auth = [{ kind = "bearer", secret_file = "am" }]
${policy("hung-windows", mode, "WindowsVmHung")}
${policy("hung-auto", "auto", "WindowsVmHungAuto")}
${policy("slow-windows", "auto", "WindowsVmSlow", "1h", "5/1h")}
${limits || '[limits]\nserver = ["2/24h"]\nregion = ["1000/1h"]\nglobal = ["1000/1h"]\nin_flight = 4\nspacing = "1s"'}
[storm]
share = 1.0
count = 1000
same_zone = 1000
[breaker]
failures = 1000
[dispatch]
tick = "100ms"
[verify]
poll = "1s"
[audit]
key_file = "audit-key"
[dashboard]
${dashboard}
${people.join("")}
${more}`;
  }

  #spawn(args, environment = {}) {
    const child = spawn(BINARY, args, {
      cwd: this.dir,
      env: { PATH: process.env.PATH, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#children.push(child);
    return child;
  }

  /** Reads on for ever, or the process would block; answers with the first line that says what is looked for. */
  #firstLine(stream, find) {
    return new Promise((resolve, reject) => {
      const said = [];
      const lines = createInterface({ input: stream });
      lines.on("line", (text) => {
        if (said.length < 50) said.push(text);
        const found = find(text);
        if (found) resolve(found);
      });
      lines.on("close", () => reject(new Error(`it ended:\n${said.join("\n")}`)));
      this.#children.at(-1).once("error", reject);
    });
  }

  /** Ends what was started here, and takes the folder away. */
  async end() {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) continue;
      await ended(child, "SIGKILL");
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Calls the API as a person. */
  async api(method, path, body, person = "boss") {
    const answer = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${tokenOf(person)}`, ...(body ? { "content-type": "application/json" } : {}) },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : {};
  }

  /** One firing alert; the answer's decision of it. */
  async alert(no, { name = "WindowsVmHung", labels = {}, annotations = {}, startsAt = new Date() } = {}) {
    const all = { alertname: name, server_instance_no: no, severity: "critical", ...labels };
    const body = {
      version: "4", groupKey: `{}:{no="${no}"}`, truncatedAlerts: 0, status: "firing", receiver: "unhang",
      groupLabels: {}, commonLabels: {}, commonAnnotations: {}, externalURL: "http://alertmanager.example:9093",
      alerts: [{
        status: "firing", labels: all, annotations, startsAt: startsAt.toISOString(), endsAt: "0001-01-01T00:00:00Z",
        generatorURL: "", fingerprint: createHash("sha256").update(JSON.stringify(all)).digest("hex").slice(0, 16),
      }],
    };
    return this.deliver(JSON.stringify(body));
  }

  async deliver(body) {
    const answer = await fetch(`${this.url}/webhooks/alertmanager`, {
      method: "POST",
      headers: { authorization: `Bearer ${ALERTMANAGER_TOKEN}`, "content-type": "application/json", "accept-encoding": "gzip" },
      body,
    });
    const told = await answer.json();
    if (answer.status !== 202) throw new Error(`${answer.status} ${JSON.stringify(told)}`);
    return { ...told.alerts[0], deliveryId: told.deliveryId, traceId: told.traceId, encoding: answer.headers.get("content-encoding") };
  }

  /** A server hangs, is told of, and waits for a person: the number of its remediation. */
  async waitingRemediation(no, more) {
    await this.hang(no);
    const told = await this.alert(no, more);
    const { remediationId } = told;
    if (!remediationId) throw new Error(`no remediation of ${no}: ${JSON.stringify(told)}`);
    await this.reaches(remediationId, "awaiting_approval");
    return remediationId;
  }

  /** A call whose answer is lost: the number of its remediation, which is unknown. */
  async unknownRemediation(no) {
    await this.misbehave(no, { kind: "not_done_closed" });
    const { remediationId } = await this.alert(no, { name: "WindowsVmHungAuto" });
    await this.reaches(remediationId, "unknown");
    return remediationId;
  }

  async reaches(id, ...states) {
    return eventually(`${id} to be ${states}`, async () => {
      const found = await this.api("GET", `/api/v1/remediations/${id}`);
      return states.includes(found.state) && found;
    });
  }

  async #control(path, body) {
    const answer = await fetch(`${this.cloud}/_simulator/${path}`, { method: "POST", body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  }

  hang(no) {
    return this.#control(`servers/${no}/hang`);
  }

  misbehave(no, behaviour, times = 1) {
    return this.#control("behaviour", { serverInstanceNo: no, target: "interrupt", behaviour, times });
  }

  cloudClock(offsetMs) {
    return this.#control("clock", { offsetMs });
  }

  /** Interrupts of a server that the cloud has in its own book. */
  async interrupts(no) {
    const ledger = await (await fetch(`${this.cloud}/_simulator/ledger`)).json();
    return ledger.filter((entry) => JSON.stringify(entry).includes(`"${no}"`));
  }

  log() {
    return readFileSync(join(this.dir, "unhang.log"), "utf8");
  }
}

/** Moves the wall clock of a service that was started with `environment`. */
export class Clock {
  constructor(library, site) {
    this.page = join(site.dir, "shim-page");
    writeFileSync(this.page, Buffer.alloc(4096));
    const store = join(site.dir, "data/unhang.db");
    this.environment = { LD_PRELOAD: library, SHIM_PAGE: this.page, SHIM_STORE: store, SHIM_CLOUD: new URL(site.cloud).port };
  }

  set(offsetMs) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(offsetMs));
    const file = openSync(this.page, "r+");
    writeSync(file, bytes, 0, 8, 0);
    closeSync(file);
  }
}
