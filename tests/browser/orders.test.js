// What a person orders on the pages: approve, deny, settle, hold. Each also looks into the book of the cloud.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { launch, logIn, loggedIn, window } from "./browser.js";
import { Site, tokenOf } from "./site.js";

let site;
let browser;
let next = 90000100;
/** A server that no other test uses. */
const fresh = () => String((next += 1));

before(async () => {
  site = await Site.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await site?.end();
});

/** A page of somebody else: what it holds, on a port of its own. */
async function elsewhere(t, host, html) {
  const server = createServer((_, answer) => answer.writeHead(200, { "content-type": "text/html" }).end(html));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return `http://${host}:${server.address().port}/`;
}

const approveForm = (page) => page.locator("form[action$='/approve']");

async function fillApproval(page, person, reason = "console shows a frozen desktop") {
  const form = approveForm(page);
  await form.locator("[name=reason]").fill(reason);
  await form.locator("[name=token]").fill(tokenOf(person));
  return form.locator("button");
}

test("from a link in a chat to a confirmed interrupt: at most four clicks, under ten seconds", async (t) => {
  const server = fresh();
  const id = await site.waitingRemediation(server);
  // Another site than ours: the strict cookie stays at home on the first request.
  const chat = await elsewhere(t, "localhost", `<a href="${site.url}/remediations/${id}">win-web waits for approval</a>`);
  const { context, page } = await loggedIn(browser, site, "lead", { foreign: true });
  const first = [];
  page.on("request", (request) => { if (request.isNavigationRequest() && request.url().includes(id)) first.push(request); });
  await page.goto(chat);

  const begun = Date.now();
  let clicks = 0;
  const click = async (target) => { clicks += 1; await target.click(); };
  await click(page.getByRole("link"));
  const form = approveForm(page);
  await click(form.locator("[name=reason]"));
  await page.keyboard.type("console shows a frozen desktop");
  await page.keyboard.press("Tab");
  await page.keyboard.type(tokenOf("lead"));
  await click(form.locator("button"));
  await page.getByText("Approved. It is sent as soon as every guard agrees.").waitFor();
  await page.locator("h1 .state.s-confirmed").waitFor();
  const took = Date.now() - begun;

  t.diagnostic(`from the link to confirmed: ${took} ms, ${clicks} clicks`);
  assert.ok(clicks <= 4 && took < 10_000, `${clicks} clicks, ${took} ms`);
  assert.equal(first.length >= 2 && !(await first[0].allHeaders()).cookie?.includes("unhang_session"), true, "the strict cookie was not sent from elsewhere");
  assert.equal((await site.interrupts(server)).length, 1);
  const shown = await page.locator("main").innerText();
  const { attempts } = await site.reaches(id, "confirmed");
  assert.ok(shown.includes(attempts[0].requestId), "the requestId of the cloud is on the page");
  await context.closeQuietly();
});

test("a link that somebody without a session follows leads through the log-in to the same page", async (t) => {
  const id = await site.waitingRemediation(fresh());
  const chat = await elsewhere(t, "localhost", `<a href="${site.url}/remediations/${id}">look</a>`);
  const context = await window(browser, site, { foreign: true });
  const page = await context.newPage();
  await page.goto(chat);
  await page.getByRole("link").click();
  await page.waitForURL("**/login**");
  await logIn(page, "lead");
  assert.equal(new URL(page.url()).pathname, `/remediations/${id}`);
  await context.closeQuietly();
});

test("an approval asks for the token again: another's or none does nothing", async () => {
  const server = fresh();
  const id = await site.waitingRemediation(server);
  const { context, page } = await loggedIn(browser, site, "lead");
  await page.goto(`/remediations/${id}`);
  assert.match(await page.locator("section", { has: page.locator("#h-facts") }).innerText(), /Status\s+RUN · NULL[^]*Hypervisor\s+XEN/, "what to know before a yes");
  for (const other of ["deputy", "oncall"]) {
    const button = await fillApproval(page, "lead");
    await approveForm(page).locator("[name=token]").fill(tokenOf(other));
    await button.click();
    await page.getByText("this is not your token; nothing was done").waitFor();
    await context.expectTrouble(/401/);
  }
  await approveForm(page).locator("[name=reason]").fill("no token");
  await approveForm(page).locator("button").click();
  assert.ok(await approveForm(page).locator("[name=token]").evaluate((field) => field.validity.valueMissing));
  await site.reaches(id, "awaiting_approval");
  assert.equal((await site.interrupts(server)).length, 0);
  await context.closeQuietly();
});

test("denied is denied", async () => {
  const server = fresh();
  const id = await site.waitingRemediation(server);
  const { context, page } = await loggedIn(browser, site, "lead");
  await page.goto(`/remediations/${id}`);
  const form = page.locator("form[action$='/deny']");
  await form.locator("[name=reason]").fill("the owner is working on it");
  await form.locator("button").click();
  await page.getByText("Denied. Nothing is sent.").waitFor();
  await page.locator("h1 .state.s-cancelled").waitFor();
  assert.equal(await approveForm(page).count(), 0);
  assert.equal((await site.interrupts(server)).length, 0);
  await context.closeQuietly();
});

test("two browsers approve at once: one interrupt, and the other sees why it was late", async () => {
  const server = fresh();
  const id = await site.waitingRemediation(server);
  const people = ["lead", "deputy"];
  const windows = [];
  for (const person of people) {
    const opened = await loggedIn(browser, site, person);
    await opened.page.goto(`/remediations/${id}`);
    windows.push({ ...opened, button: await fillApproval(opened.page, person) });
  }
  await Promise.all(windows.map(({ button }) => button.click()));
  const told = await Promise.all(windows.map(async ({ page }) => {
    await page.locator("main [role=status], main [role=alert]").waitFor();
    return page.locator("main [role=status], main [role=alert]").innerText();
  }));
  assert.equal(told.filter((text) => text.startsWith("Approved.")).length, 1, JSON.stringify(told));
  const late = told.findIndex((text) => !text.startsWith("Approved."));
  assert.match(told[late], /changed since you looked|Not possible in this state/);
  await windows[late].context.expectTrouble(/409/);
  await site.reaches(id, "confirmed");
  assert.equal((await site.interrupts(server)).length, 1);
  for (const { context } of windows) await context.closeQuietly();
});

test("a page of elsewhere cannot hold, not even with a form token that it got to know", async (t) => {
  const { context, page } = await loggedIn(browser, site, "oncall", { foreign: true });
  await page.goto("/holds");
  const token = await page.locator("form[action='/holds'] [name=form]").inputValue();
  const before = (await site.api("GET", "/api/v1/holds")).items.length;
  // The same host on another port is the same site, so the browser sends the cookie along; another name is another site.
  for (const host of ["127.0.0.1", "localhost"]) {
    const evil = await elsewhere(t, host, `<form method="post" action="${site.url}/holds">
      <input name="form" value="${token}"><input name="scope" value="global"><input name="reason" value="evil"><button>win</button></form>`);
    await page.goto(evil);
    const [answer] = await Promise.all([page.waitForResponse(`${site.url}/holds`), page.getByRole("button").click()]);
    assert.ok([401, 403].includes(answer.status()), `${host}: ${answer.status()}`);
    assert.equal(host === "127.0.0.1", Boolean((await answer.request().allHeaders()).cookie?.includes("unhang_session")), host);
    await context.expectTrouble(/40[13]/);
  }
  assert.equal((await site.api("GET", "/api/v1/holds")).items.length, before);
  await context.closeQuietly();
});

test("hold everything: said on every page, nothing is sent until it is cleared", async () => {
  const server = fresh();
  const { context, page } = await loggedIn(browser, site, "oncall");
  await page.goto("/");
  const stop = page.locator("form[action='/holds']");
  await stop.locator("[name=reason]").fill("maintenance of the storage");
  await stop.locator("[name=duration]").selectOption("1h");
  await stop.getByRole("button", { name: "Hold everything" }).click();
  await page.getByText("Held. Nothing is sent in that scope.").waitFor();
  assert.equal((await site.alert(server, { name: "WindowsVmHungAuto" })).reason, "hold");
  const links = await page.locator("nav a").evaluateAll((all) => all.map((one) => one.getAttribute("href")));
  for (const path of links) {
    const answer = await page.goto(path);
    assert.equal(answer.status(), 200, path);
    assert.match(await page.locator("main .alarm").first().innerText(), /Hold.*maintenance of the storage.*oncall/, path);
  }
  await page.goto("/holds");
  const card = page.locator("article", { hasText: "maintenance of the storage" });
  await card.locator("[name=reason]").fill("done");
  await card.getByRole("button", { name: "Clear" }).click();
  await page.getByText("The hold is cleared.").waitFor();
  assert.equal(await page.locator("main .alarm").count(), 0);
  await context.closeQuietly();
});

for (const javaScriptEnabled of [true, false]) {
  test(`a whole watch ${javaScriptEnabled ? "with" : "without"} a script: log in, approve, hold, log out`, async () => {
    const server = fresh();
    const id = await site.waitingRemediation(server);
    const context = await window(browser, site, { javaScriptEnabled });
    const page = await context.newPage();
    await page.goto("/");
    await logIn(page, "lead");
    await page.locator("article", { hasText: server }).getByRole("link", { name: "Look and decide" }).click();
    await (await fillApproval(page, "lead")).click();
    await page.getByText("Approved.").waitFor();
    await site.reaches(id, "confirmed");
    await page.reload();
    await page.locator("h1 .state.s-confirmed").waitFor();

    await page.goto("/");
    const stop = page.locator("form[action='/holds']");
    await stop.locator("[name=reason]").fill("going home");
    await stop.getByRole("button").click();
    await page.getByText("Held.").waitFor();
    await page.goto("/holds");
    await page.locator("article", { hasText: "going home" }).locator("[name=reason]").fill("back again");
    await page.locator("article", { hasText: "going home" }).getByRole("button").click();
    await page.getByText("The hold is cleared.").waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.waitForURL("**/login");
    assert.equal((await site.interrupts(server)).length, 1);
    await context.closeQuietly();
  });
}
