// Every page, with an empty store and a busy one: axe in light and dark, no sideways scrolling on a phone, and a picture
// of each at three widths in target/browser/ for whoever wants to look.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { createRequire } from "node:module";
import { launch, loggedIn, window } from "./browser.js";
import { HOSTILE, Site } from "./site.js";
import { fill, pages } from "./stores.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = { runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }, resultTypes: ["violations"] };
const PICTURES = new URL("../../target/browser/", import.meta.url).pathname;
const WIDTHS = [390, 1280, 1920];
const THEMES = ["light", "dark"];
/** What hostile texts would leave behind if they were taken for markup. */
const TRACES = 'img[src="x"], [onerror], [onmouseover], script:not([src]), main script';

let browser;
before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  browser = await launch();
});
after(() => browser?.close());

/** What axe finds, one line each. */
async function axe(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate((rules) => globalThis.axe.run(document, rules), RULES);
  return violations.flatMap(({ id, help, nodes }) => nodes.map((node) => `${id}: ${help}: ${node.html.slice(0, 160)} ${node.failureSummary.split("\n")[1] ?? ""}`));
}

async function look(page, name, store, theme) {
  const faults = [];
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    await page.screenshot({ path: `${PICTURES}${name}-${store}-${theme}-${width}.png`, fullPage: true });
    // What is folded is looked at too.
    const folded = page.locator("details:not([open])");
    await folded.evaluateAll((all) => all.forEach((one) => { one.open = true; one.dataset.folded = ""; }));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) faults.push(`${name} ${store} ${theme} at ${width} px: scrolls sideways by ${wide} px`);
    // Colours do not depend on the width; what is there does.
    if (width === 1280 || (width === 390 && theme === THEMES[0])) faults.push(...(await axe(page)).map((fault) => `${name} ${store} ${theme} ${width}: ${fault}`));
    await page.locator("details[data-folded]").evaluateAll((all) => all.forEach((one) => { one.open = false; }));
  }
  const left = await page.locator(TRACES).count();
  if (left > 0) faults.push(`${name}: ${left} elements that a hostile text made`);
  return faults;
}

for (const store of ["empty", "busy"]) {
  test(`${store} store: no violation of WCAG 2.2 AA, no sideways scrolling, nothing that a text made`, async (t) => {
    const site = await Site.start();
    t.after(() => site.end());
    const found = store === "busy" ? await fill(site) : {};
    const faults = [];
    for (const theme of THEMES) {
      const { context, page } = await loggedIn(browser, site, "boss", { colorScheme: theme });
      for (const [name, path] of Object.entries(pages(found))) {
        const answer = await page.goto(path);
        assert.equal(answer.status(), 200, path);
        faults.push(...(await look(page, name, store, theme)));
      }
      if (store === "busy") {
        await page.goto(pages(found)["remediation-hostile"]);
        const text = await page.locator("main").innerText();
        assert.ok(text.includes(HOSTILE.image), "a hostile text is shown as the text it is");
      }
      await context.closeQuietly();
      const stranger = await window(browser, site, { colorScheme: theme });
      const login = await stranger.newPage();
      await login.goto("/login");
      faults.push(...(await look(login, "log-in", store, theme)));
      await stranger.closeQuietly();
    }
    assert.deepEqual(faults, []);
  });
}
