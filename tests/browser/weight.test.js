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
  const ask = (path, method = "GET", body) => fetch(site.url + path, {
    method, body, headers: { "accept-encoding": "gzip", authorization: `Bearer ${tokenOf("boss")}`, "content-type": "application/json" },
  });
  for (const path of ["/login", "/assets/style.css", "/api/v1/audit"]) {
    assert.equal((await ask(path)).headers.get("content-encoding"), "gzip", path);
  }
  for (const path of ["/livez", "/metrics"]) assert.equal((await ask(path)).headers.get("content-encoding"), null, path);
  assert.equal((await ask("/webhooks/alertmanager", "POST", "{")).headers.get("content-encoding"), null);
  const stream = await ask("/api/v1/stream");
  assert.equal(stream.headers.get("content-encoding"), null);
  await stream.body.cancel();
});
