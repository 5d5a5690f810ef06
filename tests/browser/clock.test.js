// What takes time: an unknown that may be settled only later, and something that happened last Tuesday. The service runs
// with a wall clock that the test moves.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, loggedIn } from "./browser.js";
import { Clock, Site, tokenOf } from "./site.js";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
let browser;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** A site with a clock that can be moved, and the cloud with it, which believes no signature of another time. */
async function startAt(t, offsetMs) {
  const site = new Site({});
  t.after(() => site.end());
  await site.startCloud();
  const library = join(site.dir, "shim.so");
  execFileSync("cc", ["-O1", "-shared", "-fPIC", "-o", library, "../campaigns/shim.c", "-ldl", "-lpthread"]);
  const clock = new Clock(library, site);
  const move = async (to) => {
    clock.set(to);
    await site.cloudClock(to);
  };
  await move(offsetMs);
  await site.serve(clock.environment);
  return { site, move };
}

test("from \"server 4299, last Tuesday\" to the audit row and its requestId: three actions, under ten seconds", async (t) => {
  const now = new Date();
  const sinceTuesday = ((now.getUTCDay() + 4) % 7 + 1) * DAY; // yesterday if today is Wednesday
  const tuesday = new Date(now.getTime() - sinceTuesday);
  assert.equal(tuesday.getUTCDay(), 2);
  const { site, move } = await startAt(t, -sinceTuesday);
  await site.hang("4299");
  const { remediationId } = await site.alert("4299", { name: "WindowsVmHungAuto", startsAt: tuesday });
  const { attempts } = await site.reaches(remediationId, "confirmed");
  const { requestId } = attempts[0];
  await site.alert("90000101", { startsAt: tuesday });
  // A week goes on, with other servers in it.
  await move(0);
  await site.alert("90000102");
  await site.alert("4299", { labels: { other: "day" } });

  const { context, page } = await loggedIn(browser, site, "looker");
  await page.goto("/");
  const begun = Date.now();
  let actions = 0;
  const act = async (done) => { actions += 1; await done; };
  await act(page.getByRole("navigation").getByRole("link", { name: "Audit" }).click());
  const form = page.locator("form[action='/audit']:not([role=search])");
  await act(page.getByText("Filters", { exact: true }).click());
  await form.locator("[name=serverInstanceNo]").fill("4299");
  const day = tuesday.toISOString().slice(0, 10);
  await setDay(form, "since", day);
  await setDay(form, "until", new Date(tuesday.getTime() + DAY).toISOString().slice(0, 10));
  await act(form.getByRole("button", { name: "Filter" }).click());
  await page.getByText(requestId).first().waitFor();
  const took = Date.now() - begun;
  t.diagnostic(`${actions} actions, ${took} ms`);
  assert.ok(actions <= 3 && took < 10_000);
  const shown = await page.locator("main").innerText();
  assert.ok(!shown.includes("90000102"), "only that server");
  await context.closeQuietly();
});

/** Fills a field for a day or for a moment, as it is. */
async function setDay(form, name, day) {
  const field = form.locator(`[name=${name}]`);
  const type = await field.getAttribute("type");
  await field.fill(type === "datetime-local" ? `${day}T00:00` : type === "date" ? day : `${day}T00:00:00Z`);
}

test("an unknown that did not happen is settled by two people, ten minutes later, not by one twice", async (t) => {
  const { site, move } = await startAt(t, 0);
  const server = "90000110";
  const id = await site.unknownRemediation(server);
  const say = async (person) => {
    const { context, page } = await loggedIn(browser, site, person);
    await page.goto(`/remediations/${id}`);
    const form = page.locator("form[action$='/settle']");
    await form.getByLabel("It did not happen").check();
    await form.getByLabel("I looked at the activity record").check();
    await form.locator("[name=reason]").fill("no event in the console");
    await form.locator("[name=token]").fill(tokenOf(person));
    await form.locator("button").click();
    await page.locator("main [role=status], main [role=alert]").waitFor();
    const told = await page.locator("main [role=status], main [role=alert]").innerText();
    if (/Noted|Settled/.test(told)) await context.closeQuietly();
    else await context.close();
    return told;
  };
  assert.match(await say("lead"), /Too early/);
  await move(11 * MINUTE);
  assert.match(await say("lead"), /Noted\. A second person must say the same\./);
  assert.match(await say("lead"), /A second person/);
  await site.reaches(id, "unknown");
  assert.match(await say("deputy"), /Settled\./);
  await site.reaches(id, "closed_not_happened");
  assert.equal((await site.interrupts(server)).length, 1, "it is never sent again");
});
