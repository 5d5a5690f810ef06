// Log in, log out, and what a session is worth when it is over.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, logIn, loggedIn, window } from "./browser.js";
import { eventually, Site, tokenOf } from "./site.js";

const IDLE_MS = 60_000;
let site;
let browser;

before(async () => {
  site = await Site.start({ dashboard: 'idle = "1m"' });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await site?.end();
});

test("a wrong token is refused, the right one opens the page that was asked for", async () => {
  const context = await window(browser, site);
  const page = await context.newPage();
  await page.goto("/holds");
  assert.equal(new URL(page.url()).pathname, "/login");
  assert.deepEqual(await context.cookies(), (await context.cookies()).filter(({ name }) => name !== "unhang_session"));

  await page.locator("main input[name=token]").fill("not-a-token");
  await page.locator("main form button").click();
  await page.getByRole("alert").waitFor();
  await context.expectTrouble(/401/);
  assert.match(await page.getByRole("alert").innerText(), /no person has this token/);
  assert.equal(await page.locator("main input[name=token]").inputValue(), "", "a typed token is not written back");

  await logIn(page, "looker");
  assert.equal(new URL(page.url()).pathname, "/holds");
  const session = (await context.cookies()).find(({ name }) => name === "unhang_session");
  assert.deepEqual([session.httpOnly, session.sameSite, session.path], [true, "Strict", "/"]);
  assert.ok(!(await page.content()).includes(tokenOf("looker")));
  await context.closeQuietly();
});

test("after the log-out the cookie is gone, and worth nothing to whoever copied it", async () => {
  const { context, page } = await loggedIn(browser, site, "oncall");
  const stolen = (await context.cookies()).filter(({ name }) => name === "unhang_session");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL("**/login");
  assert.deepEqual((await context.cookies()).filter(({ name }) => name === "unhang_session"), []);
  // Back shows nothing that needs a session.
  await page.goBack();
  await page.waitForURL("**/login**");

  const thief = await window(browser, site);
  await thief.addCookies(stolen);
  const there = await thief.newPage();
  await there.goto("/incidents");
  assert.equal(new URL(there.url()).pathname, "/login");
  await thief.closeQuietly();
  await context.closeQuietly();
});

test("a session that ends while a form is open: nothing is done, the page says why, and after the log-in it works", async () => {
  const { context, page } = await loggedIn(browser, site, "oncall");
  await page.goto("/holds");
  const form = page.locator("form[action='/holds']");
  await form.locator("[name=reason]").fill("network trouble");
  await site.restart();
  await form.getByRole("button").click();
  await page.getByText("your session is over").waitFor();
  await context.expectTrouble(/401/);
  assert.deepEqual((await site.api("GET", "/api/v1/holds")).items, []);

  await page.goto("/holds");
  await logIn(page, "oncall");
  assert.equal(new URL(page.url()).pathname, "/holds");
  await form.locator("[name=reason]").fill("network trouble");
  await form.getByRole("button").click();
  await page.getByRole("status").waitFor();
  assert.equal((await site.api("GET", "/api/v1/holds")).items.length, 1);
  await context.closeQuietly();
});

test("a page that is only left open does not keep its session alive", async () => {
  const { context, page } = await loggedIn(browser, site, "looker");
  const since = Date.now();
  // What the page's own script does when it renews itself.
  const renewed = () => page.evaluate(async () => {
    const answer = await fetch("/", { headers: { "x-unhang-live": "1" }, redirect: "manual" });
    return answer.status;
  });
  assert.equal(await renewed(), 200);
  await eventually("the end of the session", async () => (await renewed()) === 0, 2 * IDLE_MS);
  assert.ok(Date.now() - since >= IDLE_MS - 2000, `ended after ${Date.now() - since} ms`);
  await page.goto("/incidents");
  assert.equal(new URL(page.url()).pathname, "/login");
  await context.close();
});
