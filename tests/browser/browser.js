// Chromium of the machine, with what every test wants of a page: no dialog, no error, nothing that the policy blocked.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { eventually, tokenOf } from "./site.js";

const FLAGS = [
  "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--disable-default-apps", "--disable-domain-reliability", "--no-proxy-server",
];
const EXECUTABLE = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

/** Starts a browser with an empty profile. */
export async function launch() {
  const home = mkdtempSync(join(tmpdir(), "unhang-chromium-"));
  const browser = await chromium.launch({
    executablePath: EXECUTABLE,
    args: [...FLAGS, ...(process.getuid() === 0 ? ["--no-sandbox"] : [])],
    env: { HOME: home, PATH: process.env.PATH, TZ: "UTC" },
    timeout: 60_000,
  });
  browser.once("disconnected", () => rmSync(home, { recursive: true, force: true }));
  return browser;
}

/** A window of its own, with its own cookies, that minds what pages do. */
export async function window(browser, site, options = {}) {
  const context = await browser.newContext({ baseURL: site.url, locale: "en-US", timezoneId: "UTC", ...options });
  context.setDefaultTimeout(15_000);
  const trouble = [];
  context.on("dialog", (dialog) => {
    trouble.push(`dialog: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  context.on("console", (message) => {
    // While the service starts again the page keeps asking for its stream.
    if (message.location().url.endsWith("/api/v1/stream") && /ERR_CONNECTION|ERR_INCOMPLETE|404/.test(message.text())) return;
    if (["error", "warning"].includes(message.type())) trouble.push(`console: ${message.text()} (${message.location().url})`);
  });
  context.on("weberror", (error) => trouble.push(`script: ${error.error()}`));
  context.on("requestfailed", (request) => {
    // A page that is left ends its stream.
    if (!request.url().endsWith("/api/v1/stream") && request.failure()?.errorText !== "net::ERR_ABORTED") trouble.push(`request: ${request.url()} ${request.failure()?.errorText}`);
  });
  context.on("request", (request) => {
    if (new URL(request.url()).origin !== site.url && !options.foreign) trouble.push(`asked elsewhere: ${request.url()}`);
  });
  context.trouble = trouble;
  /** Forgets what was expected, and fails on anything else. */
  context.expectTrouble = async (pattern) => {
    // The browser tells of it on a way of its own, perhaps later than of the answer.
    const at = () => trouble.findIndex((line) => pattern.test(line));
    await eventually(`${pattern} in ${JSON.stringify(trouble)}`, () => at() >= 0, 10_000);
    trouble.splice(at(), 1);
  };
  context.closeQuietly = async () => {
    await context.close();
    assert.deepEqual(trouble, []);
  };
  return context;
}

/** A window in which a person is logged in. */
export async function loggedIn(browser, site, name, options = {}) {
  const context = await window(browser, site, options);
  const page = await context.newPage();
  await page.goto("/login");
  await logIn(page, name);
  return { context, page };
}

export async function logIn(page, name) {
  await page.locator("main input[name=token]").fill(tokenOf(name));
  await Promise.all([page.waitForURL((url) => url.pathname !== "/login"), page.locator("main form button").click()]);
}
