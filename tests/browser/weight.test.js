// What a first view costs: bytes over the wire with an empty cache, for the page with everything on it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, loggedIn, window } from "./browser.js";
import { Site, tokenOf } from "./site.js";
import { fill } from "./stores.js";

const FIRST_VIEW_BYTES = 50 * 1024;
let site;
let browser;

before(async () => {
  site = await Site.start();
  browser = await launch();
  await fill(site);
});
after(async () => {
  await browser?.close();
  await site?.end();
});

test("the first view of Now is under 50 KB over the wire", async (t) => {
  const { context } = await loggedIn(browser, site, "boss");
  const cookies = await context.cookies();
  await context.closeQuietly();
  const fresh = await window(browser, site);
  await fresh.addCookies(cookies);
  const page = await fresh.newPage();
  const network = await fresh.newCDPSession(page);
  await network.send("Network.enable");
  const asked = new Map();
  let bytes = 0;
  network.on("Network.requestWillBeSent", ({ requestId, request }) => asked.set(requestId, { path: new URL(request.url).pathname }));
  network.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    asked.get(requestId).bytes = encodedDataLength;
    bytes += encodedDataLength;
  });
  await page.goto("/", { waitUntil: "load" });
  await page.locator("#live.on").waitFor();
  const parts = [...asked.values()].map(({ path, bytes: size }) => `${path} ${size ?? "open"}`);
  t.diagnostic(`${bytes} bytes: ${parts.join(", ")}`);
  for (const path of ["/", "/assets/style.css", "/assets/unhang.js"]) {
    assert.ok([...asked.values()].some((one) => one.path === path && one.bytes > 0), path);
  }
  assert.ok(bytes < FIRST_VIEW_BYTES, `${bytes} bytes`);
  await fresh.closeQuietly();
});

test("what is compressed and what never is", async () => {
  const ask = (path) => fetch(site.url + path, {
    headers: { "accept-encoding": "gzip", authorization: `Bearer ${tokenOf("boss")}` },
  });
  for (const path of ["/login", "/assets/style.css", "/api/v1/audit"]) {
    assert.equal((await ask(path)).headers.get("content-encoding"), "gzip", path);
  }
  for (const path of ["/livez", "/metrics"]) assert.equal((await ask(path)).headers.get("content-encoding"), null, path);
  assert.equal((await site.alert("90000131", { name: "DiskFull" })).encoding, null, "senders");
  const stream = await ask("/api/v1/stream?brief=true");
  assert.equal(stream.headers.get("content-encoding"), null);
  await stream.body.cancel();
});

test("a page is told that something happened, in a few words, however much it is; a stopped service ends its stream", async () => {
  const answer = await fetch(`${site.url}/api/v1/stream?brief=true`, { headers: { authorization: `Bearer ${tokenOf("looker")}` } });
  const pieces = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await pieces.read()).value;
  const begun = Date.now();
  for (let n = 0; n < 100; n += 1) await site.alert("90000130", { name: "DiskFull", labels: { n: String(n) } });
  const seconds = (Date.now() - begun) / 1000;
  const { seq } = (await site.api("GET", "/api/v1/audit?limit=1")).items[0];
  while (!text.includes(`id: ${seq}\nevent: news\ndata: ${seq}\n\n`)) text += (await pieces.read()).value;
  const told = text.match(/event: /g).length;
  assert.ok(told <= 4 * seconds + 2 && text.length < 100 * (told + 2), `${told} events of ${text.length} bytes in ${seconds} s`);
  const refused = await fetch(`${site.url}/api/v1/stream?brief=true&kind=hold_set`, { headers: { authorization: `Bearer ${tokenOf("looker")}` } });
  assert.equal(refused.status, 400);
  await site.stop();
  for (let read = await pieces.read(); !read.done; read = await pieces.read());
});
