// Reading: export, languages and zones, hostile texts, the keyboard; and deciding again what came in.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { launch, loggedIn, window } from "./browser.js";
import { HOSTILE, Site } from "./site.js";
import { fill, pages } from "./stores.js";

let site;
let browser;
let found;

before(async () => {
  site = await Site.start();
  browser = await launch();
  found = await fill(site);
});
after(async () => {
  await browser?.close();
  await site?.end();
});

test("replay: dry first, with what is different; then for real, with a reason", async () => {
  const server = "90000130";
  await site.api("POST", "/api/v1/silences", { matchers: [`server_instance_no="${server}"`], comment: "planned work", duration: "1h" }, "oncall");
  const told = await site.alert(server, { name: "WindowsVmHungAuto" });
  assert.equal(told.reason, "silenced");
  const { items } = await site.api("GET", "/api/v1/silences");
  await site.api("DELETE", `/api/v1/silences/${items.find(({ comment }) => comment === "planned work").id}`, { reason: "over" }, "oncall");

  const { context, page } = await loggedIn(browser, site, "oncall");
  await page.goto(`/deliveries/${told.deliveryId}`);
  await page.getByRole("button", { name: "Dry run" }).click();
  await page.getByText("One decision would change.").waitFor();
  assert.match(await page.locator("main").innerText(), /silenced/);
  assert.equal((await site.interrupts(server)).length, 0);
  const before = (await site.api("GET", "/api/v1/deliveries?limit=1")).items[0].id;
  assert.equal(before, told.deliveryId, "a dry run is no delivery");

  await page.locator("form [name=reason]").fill("the work is done and it still hangs");
  await page.getByRole("button", { name: "Replay it" }).click();
  await page.getByText("Replayed.").waitFor();
  const newest = (await site.api("GET", "/api/v1/deliveries?limit=1")).items[0];
  assert.equal(newest.replayOf, told.deliveryId);
  // The policy was demoted by the unknown of this store: it asks, and not the one who replayed.
  const { items: all } = await site.api("GET", `/api/v1/audit?serverInstanceNo=${server}&kind=alert_decided&limit=1`);
  assert.equal(all[0].decision, "awaiting_approval");
  await page.goto(`/remediations/${all[0].remediationId}`);
  assert.equal(await page.locator("form[action$='/approve']").count(), 0, "an operator approves nothing");
  await context.closeQuietly();
});

test("nobody approves their own replay", async () => {
  const server = "90000131";
  await site.api("POST", "/api/v1/silences", { matchers: [`server_instance_no="${server}"`], comment: "short", duration: "1h" }, "oncall");
  const { deliveryId } = await site.alert(server);
  const { items } = await site.api("GET", "/api/v1/silences");
  await site.api("DELETE", `/api/v1/silences/${items.find(({ comment }) => comment === "short").id}`, { reason: "over" }, "oncall");
  const { context, page } = await loggedIn(browser, site, "lead");
  await page.goto(`/deliveries/${deliveryId}`);
  await page.getByRole("button", { name: "Dry run" }).click();
  await page.locator("form [name=reason]").fill("again");
  await page.getByRole("button", { name: "Replay it" }).click();
  await page.waitForURL("**/remediations/**");
  await page.getByText("You asked for this: another person must approve it.").waitFor();
  assert.equal(await page.locator("form[action$='/approve']").count(), 0);
  await context.closeQuietly();
});

test("the audit is exported as CSV, with no cell that a spreadsheet runs", async () => {
  const { context, page } = await loggedIn(browser, site, "looker");
  await page.goto("/audit");
  const download = async (name) => {
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name, exact: true }).click()]);
    return readFileSync(await file.path(), "utf8");
  };
  const csv = await download("CSV");
  const { items } = await site.api("GET", "/api/v1/audit?limit=1");
  assert.ok(csv.split("\n").length > items[0].seq, "all rows");
  const cells = csv.split("\n").slice(1).flatMap((line) => line.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/));
  const running = cells.filter((cell) => /^"?[=+\-@\t]/.test(cell) && !/^"?-?[0-9.]+"?$/.test(cell));
  assert.deepEqual(running.slice(0, 3), []);
  const lines = (await download("NDJSON")).trim().split("\n").map((line) => JSON.parse(line));
  assert.equal(lines.length, csv.trim().split("\n").length - 1);
  await context.closeQuietly();
});

test("languages by what the browser asks for, with a switch; times in the zone of the reader, with UTC behind them", async () => {
  const words = { "ko-KR": ["ko", "모두 중지"], "ja-JP": ["ja", "すべて停止"], "de-DE": ["en", "Stop everything"] };
  for (const [locale, [tag, text]] of Object.entries(words)) {
    const { context, page } = await loggedIn(browser, site, "oncall", { locale });
    await page.goto("/");
    assert.equal(await page.locator("html").getAttribute("lang"), tag);
    await page.getByRole("heading", { name: text }).waitFor();
    await context.closeQuietly();
  }
  const { context, page } = await loggedIn(browser, site, "looker", { javaScriptEnabled: false });
  await page.goto("/incidents?state=open");
  const keep = page.locator("footer form");
  await keep.locator("[name=language]").selectOption("ja");
  await keep.locator("[name=zone]").fill("Asia/Tokyo");
  await keep.getByRole("button").click();
  assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, "/incidents?state=open", "the same page again");
  assert.equal(await page.locator("html").getAttribute("lang"), "ja");
  const time = page.locator("main time").first();
  const at = new Date(await time.getAttribute("datetime"));
  assert.match(await time.getAttribute("title"), new RegExp(`${at.toISOString().slice(0, 10)} ${at.toISOString().slice(11, 19)} UTC`));
  const there = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Tokyo", hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(at);
  assert.ok((await time.innerText()).endsWith(there), `${await time.innerText()} ${there}`);
  // A zone that there is not changes nothing.
  await keep.locator("[name=zone]").fill("Moon/Base");
  await keep.getByRole("button").click();
  assert.equal(await keep.locator("[name=zone]").inputValue(), "Asia/Tokyo");
  await context.closeQuietly();
});

test("a browser that chose nothing is shown its own zone from the second page on", async () => {
  const { context, page } = await loggedIn(browser, site, "looker", { timezoneId: "America/Los_Angeles" });
  await page.goto("/incidents");
  assert.equal(await page.locator("footer [name=zone]").inputValue(), "America/Los_Angeles");
  await context.closeQuietly();
});

test("by keyboard alone: skip link, visible focus, the order of what is seen, and everything reachable", async () => {
  const { context, page } = await loggedIn(browser, site, "lead");
  for (const path of [pages(found).now, pages(found)["remediation-waiting"], pages(found).holds, "/audit"]) {
    await page.goto(path);
    const wanted = await page.evaluate(() => [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0'], iframe")]
      .filter((one) => !one.disabled && !one.hidden && one.checkVisibility({ contentVisibilityAuto: true }) && !one.matches("[type=radio]:not(:checked)")).length);
    const met = [];
    for (let n = 0; n < wanted + 5; n += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const one = document.activeElement;
        if (!one || one === document.body) return null;
        const box = one.getBoundingClientRect();
        const style = getComputedStyle(one);
        const clear = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        const seen = box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.left >= 0;
        return { what: one.outerHTML.slice(0, 120), clear, seen, skip: one.className === "skip", all: document.querySelectorAll("*").length };
      });
      if (!at) break;
      met.push(at);
    }
    assert.ok(met[0].skip, `${path}: the first stop leads past the navigation`);
    assert.deepEqual(met.filter(({ clear, seen }) => !clear || !seen).map(({ what }) => what), [], path);
    assert.ok(met.length >= wanted - 2, `${path}: ${met.length} of ${wanted} reached`);
  }
  await page.goto("/");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  // Hold everything, without a mouse.
  const reason = page.locator("form[action='/holds'] [name=reason]");
  for (let n = 0; n < 60 && !(await reason.evaluate((one) => one === document.activeElement)); n += 1) await page.keyboard.press("Tab");
  await page.keyboard.type("by keyboard");
  await page.keyboard.press("Enter");
  await page.getByText("Held. Nothing is sent in that scope.").waitFor();
  const { items } = await site.api("GET", "/api/v1/holds");
  await site.api("DELETE", `/api/v1/holds/${items.find(({ reason: text }) => text === "by keyboard").id}`, { reason: "over" });
  await context.closeQuietly();
});

test("texts of strangers are texts: on every page, in every language, in a pasted payload and in an address", async () => {
  for (const locale of ["en-US", "ko-KR", "ja-JP"]) {
    const { context, page } = await loggedIn(browser, site, "boss", { locale });
    for (const [name, path] of Object.entries(pages(found))) {
      await page.goto(path);
      const made = await page.locator('main img, main iframe, [onerror], [onmouseover], main script, script:not([src])').count();
      assert.equal(made, 0, name);
      const whole = await page.evaluate(() => document.documentElement.outerHTML);
      assert.equal(/[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f]/.test(whole), false, `${name}: a mark that turns what is read`);
    }
    await context.closeQuietly();
  }
  const { context, page } = await loggedIn(browser, site, "boss");
  for (const text of Object.values(HOSTILE).filter((one) => one.length < 300)) {
    for (const path of ["/audit?find=", "/audit?actor=", "/explain?server=", "/deliveries?source=", "/incidents?cursor=", "/login?next=", "/?done=", "/remediations/", "/servers/", "/deliveries/"]) {
      const answer = await page.goto(path + encodeURIComponent(text));
      assert.ok(answer.status() < 500, `${path}${text}: ${answer.status()}`);
      if (answer.status() >= 400) await context.expectTrouble(/4[0-9][0-9]/);
      assert.equal(await page.locator('img[src="x"], [onerror], [onmouseover], script:not([src])').count(), 0, path + text);
    }
  }
  await page.goto("/explain");
  const form = page.locator("form[action^='/explain/payload']");
  await form.locator("textarea").fill(`</textarea>${HOSTILE.image}${HOSTILE.script}`);
  await form.getByRole("button").click();
  await page.waitForLoadState();
  await context.expectTrouble(/4[0-9][0-9]/);
  assert.equal(await page.locator('img[src="x"], [onerror], main script').count(), 0);
  assert.ok((await form.locator("textarea").inputValue()).includes(HOSTILE.image), "what was pasted is still there");
  await context.closeQuietly();
});

test("limits and cursors that make no sense are refused with a page", async () => {
  const { context, page } = await loggedIn(browser, site, "looker");
  const { nextCursor } = await site.api("GET", "/api/v1/audit?limit=2");
  for (const path of ["/audit?limit=1000000000", `/deliveries?cursor=${encodeURIComponent(nextCursor)}%00`, "/incidents?state=nonsense", "/incidents?limit=-1"]) {
    const answer = await page.goto(path);
    assert.ok([400, 200].includes(answer.status()), `${path}: ${answer.status()}`);
    if (answer.status() === 400) {
      await page.getByRole("alert").waitFor();
      await context.expectTrouble(/400/);
    }
  }
  await context.closeQuietly();
});
