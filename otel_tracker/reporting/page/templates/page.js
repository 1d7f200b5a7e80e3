"use strict";
// Keeps the page up to date: asks for the number of the last event twice a second, loads the page again when it has changed, and puts
// the differences into what is shown. Everything works without it, too, by links and forms.
(() => {
  const LOOK_EVERY = 500, LOAD_EVERY = 30000, FILTER_AFTER = 250;
  const main = document.getElementById("main"), said = document.getElementById("said");
  const dialog = document.getElementById("question"), live = document.getElementById("live");
  let loaded = Date.now(), asked = 0, isLooking = false, isGoing = false;

  // Differences: `old` becomes what `now` is; elements with an id or a key are found again wherever they have moved.
  const keyOf = (node) => node.nodeType === 1 ? node.id || node.dataset.key || "" : "";

  function become(old, now) {
    if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName || keyOf(old) !== keyOf(now)) {
      const fresh = document.importNode(now, true);
      old.replaceWith(fresh);
      return;
    }
    if (old.nodeType === 3) {
      if (old.nodeValue !== now.nodeValue) {
        old.nodeValue = now.nodeValue;
        mark(old.parentElement);
      }
      return;
    }
    if (old.nodeType !== 1) return;
    for (const { name } of [...old.attributes]) {
      if (!now.hasAttribute(name) && name !== "open" && name !== "class") old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) {
      if (old.getAttribute(name) !== value && name !== "open" && !(old === document.activeElement && name === "value")) {
        old.setAttribute(name, value);
      }
    }
    children(old, now);
  }

  function children(old, now) {
    const there = [...old.childNodes];
    const keyed = new Map(there.filter(keyOf).map((node) => [keyOf(node), node]));
    const plain = there.filter((node) => !keyOf(node));
    let before = old.firstChild;
    for (const next of [...now.childNodes]) {
      const key = keyOf(next);
      const same = key ? keyed.get(key) : plain.shift();
      keyed.delete(key);
      if (!same) {
        old.insertBefore(document.importNode(next, true), before);
        continue;
      }
      if (same === before) before = before.nextSibling;
      else old.insertBefore(same, before);
      become(same, next);
    }
    for (const rest of [...keyed.values(), ...plain]) rest.remove();
  }

  function mark(element) {
    const figure = element && element.closest(".n, .breaker, .face");
    if (!figure || figure.dataset.ago || figure.dataset.since || figure.dataset.until) return;
    figure.classList.add("changed");
    setTimeout(() => figure.classList.remove("changed"), 1000);
  }

  async function parsed(answer) {
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  async function load(address, history_change) {
    const number = ++asked;
    const answer = await fetch(address, { cache: "no-store" });
    const page = await parsed(answer);
    if (number !== asked) return; // a later one has been asked for meanwhile
    if (history_change) history[history_change](null, "", address);
    document.title = page.title;
    Object.assign(document.body.dataset, page.body.dataset);
    become(document.querySelector("body > header"), page.querySelector("body > header"));
    const focused = document.activeElement;
    become(main, page.getElementById("main"));
    if (focused.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    loaded = Date.now();
    tick();
  }

  // What the reader has asked for; a look in between doesn't take its place.
  async function go(address, history_change) {
    isGoing = true;
    try {
      await load(address, history_change);
    } finally {
      isGoing = false;
    }
  }

  function online(is) {
    live.classList.toggle("off", !is);
    live.textContent = is ? "● live" : "○ not live: the server doesn’t answer";
  }

  async function look() {
    if (document.hidden || isLooking) return;
    isLooking = true;
    try {
      const answer = await fetch("/live", { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      const { sequence, start } = await answer.json();
      const has_changed = String(sequence) !== document.body.dataset.sequence || start !== document.body.dataset.start;
      if (!isGoing && (has_changed || Date.now() - loaded > LOAD_EVERY)) await load(location.href);
      online(true);
    } catch {
      online(false);
    } finally {
      isLooking = false;
    }
  }

  // Times: what passes by itself is counted here.
  function duration(seconds) {
    if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"], [Math.floor(whole / 60) % 60, "m"], [whole % 60, "s"]];
    const first = parts.findIndex(([count]) => count);
    return parts.slice(first, first + 2).filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`).join(" ");
  }

  function ago(seconds) {
    for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "m"]]) {
      if (seconds >= unit) return `${Math.floor(seconds / unit)} ${name} ago`;
    }
    return "now";
  }

  function show(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function tick() {
    const now = Date.now() / 1000;
    for (const element of document.querySelectorAll("[data-ago]")) show(element, ago(now - element.dataset.ago));
    for (const element of document.querySelectorAll("[data-since]")) show(element, duration(Math.max(0, now - element.dataset.since)));
    for (const element of document.querySelectorAll("[data-until]")) {
      show(element, `blacklisted ${duration(Math.max(0, element.dataset.until - now))}`);
    }
  }

  // Orders: a question first; only the answer to it changes anything.
  async function ask(address) {
    const form = (await parsed(await fetch(address, { cache: "no-store" }))).querySelector("form.question");
    if (!form) {
      location.href = address;
      return;
    }
    dialog.replaceChildren(document.importNode(form, true));
    dialog.showModal();
    dialog.querySelector("a.cancel").focus();
  }

  async function order(form) {
    const answer = await parsed(await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) }));
    dialog.close();
    said.textContent = (answer.querySelector(".answer") || answer.body).textContent;
    await load(location.href);
  }

  // Links and forms that stay in this view change it in place.
  addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    if (link.matches("dialog a.cancel")) {
      event.preventDefault();
      dialog.close();
    } else if (link.matches("a.order")) {
      event.preventDefault();
      ask(link.href);
    } else if (link.origin === location.origin && link.pathname === location.pathname && !link.download && !link.hash) {
      event.preventDefault();
      go(link.href, "pushState").catch(() => { location.href = link.href; });
    }
  });

  addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("dialog form")) {
      event.preventDefault();
      order(form).catch(() => { said.textContent = "Nothing was changed: the server doesn’t answer."; });
    } else if (form.matches(".filter")) {
      event.preventDefault();
      search(form);
    }
  });

  function search(form) {
    const chosen = new URLSearchParams(new FormData(form));
    if (!chosen.get("filter")) chosen.delete("filter");
    const address = new URL(form.action);
    address.search = chosen;
    go(address.href, "replaceState").catch(() => online(false));
  }

  let waiting = 0;
  addEventListener("input", (event) => {
    if (!event.target.matches(".filter input")) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => search(event.target.form), FILTER_AFTER);
  });

  addEventListener("popstate", () => { go(location.href).catch(() => location.reload()); });

  // Arrow keys step through the runs of a session.
  addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const steps = [...document.querySelectorAll("a.step")];
    const at = steps.findIndex((step) => step === document.activeElement);
    const next = steps[at + (event.key === "ArrowDown" ? 1 : -1)];
    if (at < 0 || !next) return;
    event.preventDefault();
    next.focus();
    next.click();
  });

  addEventListener("visibilitychange", look);
  setInterval(look, LOOK_EVERY);
  setInterval(tick, 1000);
})();
