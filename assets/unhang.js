// Keeps an open page fresh, counts times down and copies identifiers. Everything works without it.
"use strict";
(() => {
  const body = document.body;

  // Times that count: "in 12 min", "3 h ago".
  const short = (seconds) => {
    if (seconds < 120) return `${seconds} s`;
    if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
  };
  const count = () => {
    for (const time of document.querySelectorAll("time[data-left]")) {
      const span = Math.round((Date.parse(time.dateTime) - Date.now()) / 1000);
      const text = span < 0 ? body.dataset.ago : body.dataset.in;
      time.textContent = text.replace("#", short(Math.abs(span)));
    }
  };
  setInterval(count, 1000);

  // Identifiers that can be copied.
  const showCopies = () => document.querySelectorAll("main [data-copy][hidden]").forEach((one) => {
    one.textContent = body.dataset.copy;
    one.setAttribute("aria-label", `${body.dataset.copy} ${one.dataset.copy}`);
    one.hidden = false;
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button || !navigator.clipboard) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = `✓ ${body.dataset.copied}`;
    setTimeout(() => { button.textContent = body.dataset.copy; }, 1500);
  });

  // The zone of this browser, until the reader chooses one.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes("unhang_zone=")) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `unhang_zone=${zone}; Path=/; Max-Age=34560000; SameSite=Lax${secure}`;
  }

  showCopies();
  count();
  const live = document.getElementById("live");
  if (!live || !window.TextDecoderStream) return;

  // A page is read again when something was recorded, but never under the hands of whoever fills in a form.
  const typed = () => {
    const at = document.activeElement;
    if (at && at.closest("main form, main details[open] pre")) return true;
    // A list would move under the eyes of whoever reads one of its rows.
    if (document.querySelector("main .rows details[open]")) return true;
    for (const field of document.querySelectorAll("main form input:not([type=hidden]), main form textarea")) {
      if (field.type === "checkbox" || field.type === "radio" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue) return true;
    }
    return String(window.getSelection()).length > 0;
  };
  const named = (one) => [one.tagName, one.id, one.getAttribute("href"), one.form?.getAttribute("action"), one.textContent].join(" ");
  let again = false;
  let read = 0;
  let took = 0;
  const renew = async () => {
    if (!("renews" in body.dataset)) return;
    if (document.hidden || typed()) { again = true; return; }
    again = false;
    const asked = performance.now();
    const answer = await fetch(body.dataset.here, { headers: { "x-unhang-live": "1" }, redirect: "error" }).catch(() => null);
    if (!answer || !answer.ok) return;
    const text = await answer.text();
    took = performance.now() - asked;
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const main = fresh.querySelector("main");
    const here = document.querySelector("main");
    if (!main || typed()) { again = true; return; }
    const open = new Set([...here.querySelectorAll("details[open] > summary")].map((one) => one.textContent));
    for (const one of main.querySelectorAll("details > summary")) {
      if (open.has(one.textContent)) one.parentElement.open = true;
    }
    // What was just done, or why it was not, stays until the reader goes on.
    main.querySelectorAll(":scope > [role=status], :scope > [role=alert]").forEach((one) => one.remove());
    main.prepend(...here.querySelectorAll(":scope > [role=status], :scope > [role=alert]"));
    const focused = here.contains(document.activeElement) ? named(document.activeElement) : null;
    here.replaceChildren(...main.childNodes);
    // Whoever goes through the page by keyboard stays where they are.
    if (focused) [...here.querySelectorAll("a, button, summary, [tabindex]")].find((one) => named(one) === focused)?.focus({ preventScroll: true });
    document.title = fresh.title;
    showCopies();
    count();
  };
  const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });
  let dirty = false;
  let busy = false;
  const soon = async () => {
    dirty = true;
    if (busy) return;
    busy = true;
    // What is recorded while the page is being read is read as well. While much happens the page is read no more than twice
    // in a second, and the less the longer an answer takes: many open pages must not keep a busy service busy.
    while (dirty) {
      await pause(performance.now() - read > 2000 ? 0 : Math.min(10000, Math.max(400, 15 * took)));
      dirty = false;
      await renew().catch(() => { again = true; });
      read = performance.now();
    }
    busy = false;
  };
  setInterval(() => { if (again) soon(); }, 2000);

  // The stream says only how far the audit has come, from the row on that the page was written with; what happened is read
  // from the page. A page that nobody sees has no stream: a browser opens six connections
  // to one host for all its windows.
  let place = body.dataset.seq;
  let ear = null;
  const listen = async () => {
    const mine = new AbortController();
    ear = mine;
    while (ear === mine) {
      const answer = await fetch(`/api/v1/stream?brief=true&after=${place}`, { signal: mine.signal, headers: { accept: "text/event-stream" } }).catch(() => null);
      if (answer && answer.status === 401) break;
      if (answer && answer.ok) {
        live.classList.add("on");
        const pieces = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let read = await pieces.read().catch(() => null); read && !read.done; read = await pieces.read().catch(() => null)) {
          if (read.value.includes("data:")) soon();
          place = [...read.value.matchAll(/^id: ([0-9]+)$/gm)].pop()?.[1] ?? place;
        }
      }
      if (ear !== mine) return;
      live.classList.remove("on");
      await pause(answer && !answer.ok ? 30000 : 2000);
      // A place that the store does not know: it was put back to an older state.
      if (ear === mine && answer && answer.status === 400) location.reload();
    }
    live.classList.remove("on");
  };
  const look = () => {
    ear?.abort();
    ear = null;
    live.classList.remove("on");
    if (!document.hidden) listen();
  };
  document.addEventListener("visibilitychange", look);
  addEventListener("pagehide", () => { ear?.abort(); ear = null; });
  addEventListener("pageshow", (event) => { if (event.persisted) look(); });
  look();
})();
