"use strict";
// What part of the run is seen: the time from t0 to t1, how far down, what is filtered out, what is selected. All of it is in
// the page's link, so that a place can be shared.

const KINDS = {
  messages: "Messages", keepalives: "Keep-alives", calls: "Calls", log: "Log", disk: "Disk", faults: "Faults",
};

function buildView(model) {
  const view = {
    model, u0: 0, u1: 1, t0: 0, t1: 1, scroll: 0, selected: null, query: "", hits: [],
    hidden: { clients: new Set(), locks: new Set(), kinds: new Set() },
    changed: () => {},
    showsClient: c => c === undefined || c < 0 || !view.hidden.clients.has(c),
    showsLock: l => !view.hidden.locks.has(l),
    shows: kind => !view.hidden.kinds.has(kind),
  };
  fold(view, true);
  return view;
}

// fold makes the scale of time: with yes, stretches in which nothing of weight happens are drawn short, and what happens within
// an instant is drawn apart. Screen positions are
// linear in u = scale.u(t), not in the time t itself.
function fold(view, yes) {
  const model = view.model, end = model.end || 1, times = [0];
  const light = e => ["lease", "connect", "disk", "done", "segment", "snapshot", "file", "syncdir"].includes(e.k) || e.w === "keep-alive" || e.w === "hello" || e.k === "entry" && !(e.lk || []).length;
  const quiet = new Set();
  for (const e of model.events) {
    const still = light(e) || ["deliver", "drop", "send", "answer"].includes(e.k) && (e.c || []).length > 0 && e.c.every(c => quiet.has(c)) && e.w === "answer";
    if (still) quiet.add(e.i); else times.push(e.t);
  }
  times.push(end);
  const gaps = times.slice(1).map((t, i) => t - times[i]).filter(g => g > 1e-6).sort((a, b) => a - b);
  const usual = Math.max(0.00005, gaps[Math.floor(gaps.length * 0.65)] || 0);
  const ts = [0], us = [0], folds = [];
  for (let i = 1; i < times.length; i++) {
    const gap = times[i] - times[i - 1];
    if (gap <= 0) continue;
    const short = !yes ? gap : gap > 3 * usual ? usual * (1.5 + Math.log2(gap / usual) / 2) : Math.max(gap, usual / 8);
    ts.push(times[i]);
    us.push(us[us.length - 1] + short);
    if (short < gap) folds.push({ t0: times[i - 1], t1: times[i], strong: gap > 5 * short });
  }
  const last = ts.length - 1;
  const between = (from, to, v) => {
    if (v <= from[0] || last === 0) return to[0] + v - from[0];
    if (v >= from[last]) return to[last] + v - from[last];
    let low = 0, high = last;
    while (high - low > 1) { const mid = (low + high) >> 1; if (from[mid] <= v) low = mid; else high = mid; }
    return to[low] + (v - from[low]) / (from[high] - from[low]) * (to[high] - to[low]);
  };
  view.folded = yes;
  view.scale = { u: t => between(ts, us, t), t: u => between(us, ts, u), folds };
  for (const s of model.messages) { s.u0 = view.scale.u(s.t0); s.u1 = view.scale.u(s.t1); }
  view.limit = { low: -0.02 * us[last], high: us[last] * 1.04 + 1e-6 };
  setTime(view, view.t0, view.t1);
}

// passes says whether the filters let an event be seen.
function passes(view, e) {
  if (!view.showsClient(e.cl)) return false;
  if (e.lk && e.lk.length && !e.lk.some(l => view.showsLock(l))) return false;
  return true;
}

// setTime shows the time from t0 to t1, setScale the same in units of the scale.
function setTime(view, t0, t1) { setScale(view, view.scale.u(t0), view.scale.u(t1)); }

function setScale(view, u0, u1) {
  const least = 2e-6, most = view.limit.high - view.limit.low;
  const span = Math.min(Math.max(u1 - u0, least), most);
  view.u0 = Math.max(view.limit.low, Math.min((u0 + u1) / 2 - span / 2, view.limit.high - span));
  view.u1 = view.u0 + span;
  view.t0 = view.scale.t(view.u0);
  view.t1 = view.scale.t(view.u1);
  view.changed();
}

// zoom keeps what lies at u where it is.
function zoom(view, factor, u = (view.u0 + view.u1) / 2) {
  const span = view.u1 - view.u0, want = Math.max(2e-6, span * factor), from = u - want * (u - view.u0) / span;
  setScale(view, from, from + want);
}

function pan(view, share) {
  const d = (view.u1 - view.u0) * share;
  setScale(view, view.u0 + d, view.u1 + d);
}

function showAll(view) { setScale(view, view.limit.low, view.limit.high); }

function select(view, id, bring) {
  const e = id === null ? null : view.model.byId.get(id);
  view.selected = e ? e.i : null;
  view.related = e ? relatedTo(view.model, e) : null;
  if (e && bring && (e.t < view.t0 || e.t > view.t1)) {
    const half = (view.u1 - view.u0) / 2, u = view.scale.u(e.t);
    setScale(view, u - half, u + half);
  }
  view.changed();
}

// relatedTo are the events to stress: what led to an event, and what follows from it at once.
function relatedTo(model, e) {
  const related = new Set(e.k === "violation" ? [e.i].concat(...(e.c || []).map(c => ancestors(model, c, 36))) : ancestors(model, e.i, 40));
  const next = (model.effects.get(e.i) || []).slice(0, 40);
  for (const id of next) related.add(id);
  if (e.k === "violation") {
    for (const o of model.events) {
      if ((o.tk || []).some(t => model.concerned.has(t)) && ["grant", "revoke", "end", "held", "unheld"].includes(o.k)) related.add(o.i);
    }
    // What was sent because of these and never arrived matters as much as what did.
    for (const id of [...related]) {
      for (const sent of model.effects.get(id) || []) {
        const lost = (model.effects.get(sent) || []).filter(i => model.byId.get(i).k === "drop");
        if (model.byId.get(sent).k === "send" && lost.length) for (const i of [sent, ...lost]) related.add(i);
      }
    }
  }
  return related;
}

// home is the first screen: the broken promise with what led to it, or the whole run.
function home(view) {
  const v = view.model.violation;
  if (!v) {
    showAll(view);
    return;
  }
  const led = ancestors(view.model, v.i, 36).map(id => view.model.byId.get(id).t).sort((a, b) => a - b);
  for (const b of view.model.beliefs.concat(view.model.holds)) {
    if (view.model.concerned.has(b.token)) led.push(b.t0, b.t1);
  }
  const times = led.filter(t => t <= v.t).map(view.scale.u).sort((a, b) => a - b), at = view.scale.u(v.t);
  // A far ancestor must not make the rest small: leave out the earliest tenth.
  const span = Math.max(at - (times[Math.floor(times.length * 0.1)] ?? at), 0.005);
  setScale(view, at - span * 1.06, at + span * 0.15);
  select(view, v.i);
}

function search(view, query) {
  view.query = query.trim();
  const q = view.query.toLowerCase();
  view.hits = !q ? [] : view.model.events.filter(e => ("#" + e.i) === q || (!q.startsWith("#") && (e.x + " " + e.k + " " + (e.w || "")).toLowerCase().includes(q))).map(e => e.i);
  view.hitSet = new Set(view.hits);
  view.changed();
}

function linkOf(view) {
  const part = [`t=${view.t0.toFixed(6)},${view.t1.toFixed(6)}`];
  if (!view.folded) part.push("fold=no");
  if (view.selected !== null) part.push("e=" + view.selected);
  if (view.query) part.push("q=" + encodeURIComponent(view.query));
  for (const name of ["clients", "locks", "kinds"]) {
    if (view.hidden[name].size) part.push("-" + name + "=" + [...view.hidden[name]].map(encodeURIComponent).join(","));
  }
  return "#" + part.join("&");
}

// follow goes where a link says; false = it says nothing.
function follow(view, hash) {
  const parts = new Map(hash.replace(/^#/, "").split("&").filter(p => p.includes("=")).map(p => [p.slice(0, p.indexOf("=")), p.slice(p.indexOf("=") + 1)]));
  if (!parts.size) return false;
  for (const name of ["clients", "locks", "kinds"]) {
    const list = (parts.get("-" + name) || "").split(",").filter(s => s).map(decodeURIComponent);
    view.hidden[name] = new Set(name === "clients" ? list.map(Number) : list);
  }
  search(view, decodeURIComponent(parts.get("q") || ""));
  if ((parts.get("fold") !== "no") !== view.folded) fold(view, !view.folded);
  const [t0, t1] = (parts.get("t") || "").split(",").map(Number);
  const id = parts.has("e") ? Number(parts.get("e")) : null;
  if (t1 > t0) setTime(view, t0, t1);
  select(view, id, !(t1 > t0));
  return true;
}
