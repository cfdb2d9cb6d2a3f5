"use strict";
// The panel beside the chart: what the selected event is, what it came from and what came of it, all of it to walk along.

const KIND_NAMES = {
  violation: "Broken promise", heal: "Healing", fault: "Fault", note: "Note", up: "Start", down: "Down", freeze: "Freeze", send: "Sent",
  deliver: "Arrived", drop: "Lost", call: "Call", return: "Return", answer: "Answer", notice: "Notice", connect: "Connection", held: "Belief",
  lease: "Lease", unheld: "Belief ends", cut: "Link cut", mend: "Link mended", entry: "Log entry", apply: "Request applied", grant: "Grant",
  revoke: "Revoke", end: "Hold ends", wait: "Waits", unwait: "Wait ends", session: "Session", disk: "Disk", done: "Disk done",
  segment: "Segment", snapshot: "Snapshot", file: "Data file", syncdir: "Names synced",
};

function node(tag, attributes, ...children) {
  const n = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes || {})) {
    if (k.startsWith("on")) n.addEventListener(k.slice(2), v); else if (v !== undefined && v !== false) n.setAttribute(k, v);
  }
  n.append(...children.filter(c => c !== null && c !== undefined));
  return n;
}

const seconds = t => t.toFixed(6) + " s";

function laneName(model, e) {
  const l = model.lanes[(e.l || 0) - 1];
  return l ? l.name : "";
}

// swatch says by colour and by text where an event lies.
function swatch(model, e) {
  const l = model.lanes[(e.l || 0) - 1];
  const name = !l ? "" : l.machine === CLIENT ? "c" + l.number : l.machine;
  return node("span", { class: "at", style: l && l.machine === CLIENT ? `--dot: var(--c${l.number % 8})` : undefined }, name);
}

function eventButton(view, id) {
  const e = view.model.byId.get(id);
  if (!e) return null;
  return node("li", {}, node("button", {
    "data-event": id, class: (id === view.selected ? "here " : "") + (e.k === "violation" || e.k === "drop" || e.k === "down" ? "bad" : ""),
    title: e.x, onclick: () => select(view, id, true),
  }, node("time", {}, e.t.toFixed(4)), swatch(view.model, e), node("span", { class: "words" }, shorten(e))));
}

// shorten leaves out what the event's place in a list says already.
function shorten(e) {
  return e.k === "violation" ? e.w + " broken" : e.x;
}

function list(view, title, ids, most, empty) {
  if (!ids.length && !empty) return null;
  const shown = ids.slice(0, most), rest = ids.length - shown.length;
  return node("section", {}, node("h3", {}, title), ids.length ? node("ol", {}, ...shown.map(id => eventButton(view, id))) : node("p", { class: "none" }, empty),
    rest > 0 ? node("button", { class: "more", onclick: ev => ev.target.closest("section").replaceWith(list(view, title, ids, ids.length)) }, `${rest} more`) : null);
}

function renderPanel(panel, view) {
  const e = view.selected === null ? null : view.model.byId.get(view.selected);
  panel.replaceChildren();
  if (!e) {
    panel.append(node("p", { class: "none" }, "Click anything to see what it is, what it came from and what came of it."));
    if (view.model.data.story.length) panel.append(list(view, "What led to the broken promise", view.model.data.story, 60));
    return;
  }
  const fact = (name, value) => value === undefined || value === "" || value === null ? [] : [node("dt", {}, name), node("dd", {}, "" + value)];
  const until = e.u ? seconds(e.u) : undefined;
  panel.append(node("section", { class: "event " + e.k },
    node("h2", {}, node("span", { class: "kind" }, KIND_NAMES[e.k] || e.k), node("a", { href: "#", class: "id", title: "Link to this event", onclick: ev => { ev.preventDefault(); history.replaceState(null, "", linkOf(view)); } }, "#" + e.i)),
    node("p", { class: "text" }, e.x),
    node("dl", {}, ...fact("time", seconds(e.t)), ...fact("until", until), ...fact("machine", laneName(view.model, e)),
      ...fact("lock", (e.lk || []).join(", ")), ...fact("token", (e.tk || []).join(", ")), ...fact("session", (e.ss || []).join(", ")),
      ...fact("sequence", e.sq), ...fact("log position", e.ix), ...fact("message", e.m), ...fact("mode", e.k === "grant" || e.k === "held" || e.k === "wait" ? (e.sh ? "shared" : "exclusive") : ""))));
  panel.append(list(view, "Because of", (e.c || []).filter(id => view.model.byId.has(id)), 8, "Nothing that was recorded."));
  panel.append(list(view, "Led to", view.model.effects.get(e.i) || [], 8, e.k === "violation" ? "The end of the run." : "Nothing that was recorded."));
  if (e.k === "violation") panel.append(list(view, "What led here", view.model.data.story.filter(id => id !== e.i).reverse(), 60));
  else panel.append(list(view, "The way here", ancestors(view.model, e.i, 24).slice(1).sort((a, b) => b - a), 24));
}

function renderHeader(model) {
  const d = model.data, failed = d.number !== "";
  document.getElementById("verdict").className = failed ? "broken" : "kept";
  document.getElementById("badge").textContent = failed ? d.number : "OK";
  const [name, ...rest] = d.promise.includes(": ") ? d.promise.split(": ") : ["", d.promise];
  document.getElementById("headline").textContent = failed ? `${d.number} is broken${name ? ": " + name : ""}` : "Every promise was kept";
  document.getElementById("promise").textContent = failed ? rest.join(": ") : "";
  document.getElementById("statement").textContent = failed ? `At ${seconds(model.violation ? model.violation.t : d.virtual)}: ${d.text.split("\n")[0]}` : "The run ended as it must.";
  const fact = (name, value) => [node("dt", {}, name), node("dd", {}, value)];
  document.getElementById("facts").append(...fact("seed", d.seed), ...fact("events", model.events.length.toLocaleString("en")), ...fact("simulated", d.virtual.toFixed(3) + " s"),
    ...fact("trace", d.hash), ...fact("repeat", d.command));
}

// toggles makes a button for each choice; pressed means shown.
function toggles(group, title, choices, hidden, view) {
  group.replaceChildren(node("span", { class: "group" }, title));
  for (const [key, name, style] of choices) {
    group.append(node("button", {
      "aria-pressed": String(!hidden.has(key)), "data-key": key, style, title: "Click to hide or show, double click to show only this",
      onclick: () => { if (hidden.has(key)) hidden.delete(key); else hidden.add(key); view.changed(); },
      ondblclick: () => { const only = choices.some(([k]) => k !== key && !hidden.has(k)); hidden.clear(); if (only) for (const [k] of choices) if (k !== key) hidden.add(k); view.changed(); },
    }, name));
  }
}

function renderToolbar(view) {
  const { model, hidden } = view;
  toggles(document.getElementById("clients"), "Clients", model.clients.map(c => [c, "" + c, `--dot: var(--c${c % 8})`]), hidden.clients, view);
  toggles(document.getElementById("locks"), "Locks", lockOrder(model).map(l => [l, l.replace(/^lock-/, "")]), hidden.locks, view);
  toggles(document.getElementById("kinds"), "Show", Object.entries(KINDS), hidden.kinds, view);
  document.getElementById("fold").setAttribute("aria-pressed", String(view.folded));
  document.getElementById("hits").textContent = view.query ? (view.hits.length ? `${Math.max(1, view.hits.indexOf(view.selected) + 1)} of ${view.hits.length}` : "none") : "";
}

// nextHit goes through what the search found.
function nextHit(view, step) {
  if (!view.hits.length) return;
  const at = view.hits.indexOf(view.selected);
  const next = at >= 0 ? (at + step + view.hits.length) % view.hits.length : Math.max(0, view.hits.findIndex(id => view.model.byId.get(id).t >= view.t0));
  select(view, view.hits[next], true);
}
