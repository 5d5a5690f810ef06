// An open page follows what is recorded, without being loaded again and without getting in anybody's way.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, loggedIn } from "./browser.js";
import { Site } from "./site.js";

const WITHIN_MS = 1000;
const ROUNDS = 5;
let site;
let browser;

before(async () => {
  site = await Site.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await site?.end();
});

test("an incident is on an open page within a second of its commit, without a reload", async (t) => {
  const { context, page } = await loggedIn(browser, site, "looker");
  await page.goto("/");
  await page.locator("#live.on").waitFor();
  await page.evaluate(() => { globalThis.sameDocument = true; });
  const times = [];
  for (let n = 0; n < ROUNDS; n += 1) {
    const server = String(90000110 + n);
    const shown = page.evaluate((no) => new Promise((resolve) => {
      const look = () => { if (document.querySelector("main").innerText.includes(no)) resolve(Date.now()); };
      new MutationObserver(look).observe(document.querySelector("main"), { childList: true, subtree: true });
      look();
    }), server);
    await site.alert(server);
    const { items } = await site.api("GET", `/api/v1/audit?serverInstanceNo=${server}&kind=alert_decided`);
    times.push((await shown) - Date.parse(items[0].at));
  }
  t.diagnostic(`from the event to the page: ${times.join(", ")} ms`);
  times.sort((a, b) => a - b);
  assert.ok(times[Math.floor(ROUNDS / 2)] < WITHIN_MS, `${times} ms`);
  assert.equal(await page.evaluate(() => globalThis.sameDocument), true, "the page was not loaded again");
  await context.closeQuietly();
});

test("a page does not change under the hands of whoever types, and catches up afterwards", async () => {
  const { context, page } = await loggedIn(browser, site, "oncall");
  await page.goto("/");
  await page.locator("#live.on").waitFor();
  const reason = page.locator("form[action='/holds'] [name=reason]");
  await reason.fill("half a sente");
  await site.alert("90000120");
  const other = await context.newPage();
  await other.goto("/incidents");
  await other.getByText("90000120").waitFor();
  await page.bringToFront();
  assert.equal(await reason.inputValue(), "half a sente");
  assert.equal(await page.getByText("90000120").count(), 0);
  await reason.fill("");
  await page.locator("h2").first().click();
  await page.getByText("90000120").first().waitFor();
  await context.closeQuietly();
});

test("whoever goes through a page by keyboard stays where they are when it changes", async () => {
  const { context, page } = await loggedIn(browser, site, "looker");
  await page.goto("/incidents");
  await page.locator("#live.on").waitFor();
  const link = page.getByRole("link", { name: /90000112/ });
  await link.focus();
  await site.alert("90000121");
  await page.getByRole("link", { name: /90000121/ }).waitFor();
  assert.ok(await link.evaluate((one) => one === document.activeElement));
  await context.closeQuietly();
});

test("a page that nobody sees has no stream, and catches up when it is seen again; ten windows do not block each other", async () => {
  const { context, page } = await loggedIn(browser, site, "looker");
  // All pages of such a browser count as seen, so the change is told to the page as the browser would tell it.
  const see = (one, seen) => one.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, !seen);
  await page.goto("/incidents");
  await page.locator("#live.on").waitFor();
  for (let n = 0; n < 9; n += 1) {
    const other = await context.newPage();
    await other.goto("/incidents");
    await other.locator("#live.on").waitFor();
    await see(other, false);
    await other.locator("#live:not(.on)").waitFor();
  }
  await see(page, false);
  await page.locator("#live:not(.on)").waitFor();
  await site.alert("90000123");
  await site.api("GET", "/api/v1/incidents");
  await see(page, true);
  await page.getByRole("link", { name: /90000123/ }).waitFor();
  await context.closeQuietly();
});

test("when the service comes back, so does the stream, or says that it is gone", async () => {
  const { context, page } = await loggedIn(browser, site, "looker");
  await page.goto("/incidents");
  await page.locator("#live.on").waitFor();
  await site.stop();
  await page.locator("#live:not(.on)").waitFor();
  await site.serve();
  // Sessions end with the process: the page says that it is not live, and the next click leads to the log-in.
  await page.reload();
  assert.equal(new URL(page.url()).pathname, "/login");
  await context.close();
});
