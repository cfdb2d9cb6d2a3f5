"use strict";
// What the events of a run amount to: messages, calls, bands, holds, beliefs, waits, tasks. Each of these is a span with the
// event that it stands for (`e`), so that a click on it selects that event.

const CLIENT = "client", SERVER = "server", DISK = "disk";

function buildModel(data) {
  const m = {
    data, events: data.events, byId: new Map(), effects: new Map(), lanes: data.lanes.map((l, i) => ({
      index: i + 1, machine: l.Machine, number: l.Number,
      name: l.Machine === CLIENT ? "client " + l.Number : l.Machine + (data.lanes.filter(o => o.Machine === l.Machine).length > 1 ? " " + l.Number : ""),
    })),
    messages: [], calls: [], bands: [], holds: [], beliefs: [], waits: [], tasks: [], entries: [], marks: [], appends: [], locks: [],
    end: data.virtual, violation: null, heal: null,
  };
  let before = -1;
  for (const e of m.events) {
    // What happens at one instant happens one after the other: a nanosecond apart the order can be drawn.
    before = e.t = Math.max(e.t, before + 1e-9);
    m.byId.set(e.i, e);
    m.end = Math.max(m.end, e.t);
    for (const c of e.c || []) {
      if (!m.effects.has(c)) m.effects.set(c, []);
      m.effects.get(c).push(e.i);
    }
    if (e.k === "violation") m.violation = m.violation || e;
    if (e.k === "heal") m.heal = e.t;
    for (const l of e.lk || []) if (!m.locks.includes(l)) m.locks.push(l);
  }
  m.locks.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  m.clients = m.lanes.filter(l => l.machine === CLIENT).map(l => l.number);
  buildMessages(m);
  buildCalls(m);
  buildBands(m);
  buildLocks(m);
  arrangeHolds(m);
  buildMachines(m);
  findEarly(m);
  m.concerned = new Set(m.violation ? m.violation.tk || [] : []);
  if (m.violation) for (const e of m.events) if (e.k === "end" && Math.abs(e.t - m.violation.t) < 1e-6) for (const t of e.tk) m.concerned.add(t);
  return m;
}

// A message has a span for each of its copies: {e, end, kind, from, to, t0, t1}.
function buildMessages(m) {
  const sent = new Map(), done = new Set(), transits = [];
  for (const e of m.events) {
    if (e.k === "send") sent.set(e.m, e);
    if (e.k === "deliver" && sent.has(e.m) && !e.cp) transits.push(e.t - sent.get(e.m).t);
  }
  transits.sort((a, b) => a - b);
  const slow = Math.max(0.02, 4 * (transits[transits.length >> 1] || 0));
  for (const e of m.events) {
    if (e.k !== "deliver" && e.k !== "drop") continue;
    const s = sent.get(e.m);
    if (!s) continue;
    done.add(e.m);
    const span = { e: s, end: e, from: s.l, to: s.to, t0: s.t, t1: e.t, kind: "ok", client: s.cl };
    if (e.k === "drop") {
      span.kind = e.w === "lost" || e.w === "reset" ? e.w : "cut";
      if (e.w === "lost") span.t1 = Math.max(e.u || 0, e.t);
    } else if (e.cp === 1) span.kind = "dup";
    else if (e.cp === 2 || e.t - s.t > slow) span.kind = "late";
    m.messages.push(span);
  }
  for (const s of sent.values()) {
    if (!done.has(s.m)) m.messages.push({ e: s, end: null, from: s.l, to: s.to, t0: s.t, t1: Math.min(m.end, Math.max(s.u || s.t, s.t)), kind: "pending", client: s.cl });
  }
  m.messages.sort((a, b) => a.t0 - b.t0);
  const kinds = ["ok", "dup", "late", "lost", "cut", "reset", "pending"];
  for (const s of m.messages) {
    s.style = kinds.indexOf(s.kind);
    s.routine = s.e.w === "keep-alive" || s.e.w === "hello";
  }
}

// Calls of the applications, in tracks so that those of one client do not cover each other.
function buildCalls(m) {
  const open = new Map(), tracks = new Map();
  for (const e of m.events) {
    if (e.k === "call") {
      if (!tracks.has(e.l)) tracks.set(e.l, []);
      const t = tracks.get(e.l);
      let n = t.findIndex(c => c.t1 !== null);
      if (n < 0) n = t.length;
      const call = { e, t0: e.t, t1: null, lane: e.l, track: n, refused: false, client: e.cl };
      t[n] = call;
      open.set(e.i, call);
      m.calls.push(call);
    } else if (e.k === "return") {
      const call = open.get((e.c || []).at(-1)); // the last cause of a return is its call
      if (call) { call.t1 = e.t; call.refused = !!e.r; call.end = e; }
    } else if (e.k === "down") {
      for (const c of tracks.get(e.l) || []) if (c.t1 === null) { c.t1 = e.t; c.refused = true; }
    }
  }
  for (const c of m.calls) if (c.t1 === null) c.t1 = m.end;
}

// Bands say what befell a machine: down, power, freeze, cut (with a way), clog, slow.
function buildBands(m) {
  const down = new Map(), cuts = new Map();
  const add = (kind, e, t1, extra) => { const b = { kind, e, lane: e.l, t0: e.t, t1, client: e.cl, ...extra }; m.bands.push(b); return b; };
  for (const e of m.events) {
    if (e.k === "down") {
      for (const b of m.bands) if (b.kind === "freeze" && b.lane === e.l && b.t1 > e.t) b.t1 = e.t;
      down.set(e.l, add(e.w === "power cut" ? "power" : "down", e, m.end));
    } else if (e.k === "up" && down.has(e.l)) {
      down.get(e.l).t1 = e.t;
      down.delete(e.l);
    } else if (e.k === "freeze") {
      add("freeze", e, e.u);
    } else if (e.k === "cut") {
      const key = e.l + "/" + (e.wy || 0);
      if (!cuts.has(key)) cuts.set(key, add("cut", e, m.end, { way: e.wy || 0 }));
    } else if (e.k === "mend") {
      const key = e.l + "/" + (e.wy || 0);
      if (cuts.has(key)) cuts.get(key).t1 = e.t;
      cuts.delete(key);
    } else if (e.k === "fault" && e.u && e.w === "clog") {
      add("cut", e, e.u, { way: e.x.includes("to the client") ? 1 : 0 });
    } else if (e.k === "fault" && e.u) {
      add("slow", e, e.u);
    } else if (e.k === "heal") {
      for (const b of m.bands) if (b.t1 > e.t && (b.kind === "freeze" || b.kind === "slow" || b.e.k === "fault")) b.t1 = e.t;
    }
  }
  for (const b of m.bands) b.t1 = Math.max(b.t0, Math.min(b.t1, m.end));
}

// Who holds a lock by the log and by each client's own belief, who waits, and the appends under it.
function buildLocks(m) {
  const holds = new Map(), beliefs = new Map(), waits = new Map();
  const base = e => ({ e, lock: e.lk[0], client: e.cl, token: (e.tk || [])[0], session: (e.ss || [])[0], shared: !!e.sh, t0: e.t, t1: m.end, open: true });
  for (const e of m.events) {
    if (!e.lk || !e.lk.length) continue;
    const belief = e.cl + "/" + (e.tk || [])[0], wait = (e.ss || [])[0] + "/" + e.sq;
    switch (e.k) {
      case "grant": { const h = base(e); holds.set(h.token, h); m.holds.push(h); break; }
      case "revoke": { const h = holds.get(e.tk[0]); if (h) { h.revoked = e.t; h.revokedBy = e; } break; }
      case "end": { const h = holds.get(e.tk[0]); if (h) { h.t1 = e.t; h.end = e; h.open = false; holds.delete(h.token); } break; }
      case "held": { const b = base(e); b.until = e.u; beliefs.set(belief, b); m.beliefs.push(b); b.leases = [e]; break; }
      case "lease": { const b = beliefs.get(belief); if (b) { b.until = e.u; b.leases.push(e); } break; }
      case "unheld": { const b = beliefs.get(belief); if (b) { b.t1 = e.t; b.end = e; b.open = false; beliefs.delete(belief); } break; }
      case "wait": { const w = base(e); waits.set(wait, w); m.waits.push(w); break; }
      case "unwait": { const w = waits.get(wait); if (w) { w.t1 = e.t; w.end = e; w.open = false; waits.delete(wait); } break; }
      case "apply": if (e.w === "append" || e.w === "delete") m.appends.push({ e, lock: e.lk[0], client: e.cl, t0: e.t, refused: !!e.r }); break;
    }
  }
}

// arrangeHolds finds the holds that lie beside each other in a strip, when the next begins, and how each ended in words.
function arrangeHolds(m) {
  for (const lock of m.locks) {
    const all = m.holds.filter(h => h.lock === lock);
    for (const h of all) {
      const beside = all.filter(o => o !== h && o.t0 < h.t1 && o.t1 > h.t0);
      h.parts = Math.min(3, beside.length + 1);
      h.place = beside.filter(o => o.e.i < h.e.i).length % h.parts;
      h.next = Math.min(Infinity, ...all.filter(o => o !== h && o.t1 > h.t1).map(o => Math.max(o.t0, h.t1)));
      if (!h.end) continue;
      h.why = h.end.w.replace(/ \(.*, under (token \d+)\)/, (_, t) => t === "token " + h.token ? "" : " under " + t).replace(/:.*/, "");
      h.oddEnd = h.why.includes("under") || h.why === "lost";
    }
  }
}

// Tasks of disks, entries of the log, and marks: faults, segments, snapshots, what libraries tell their applications.
function buildMachines(m) {
  const open = new Map();
  for (const e of m.events) {
    if (e.k === "disk") { const t = { e, lane: e.l, t0: e.t, t1: Math.min(e.u, m.end), files: e.w === "files" }; open.set(e.i, t); m.tasks.push(t); }
    if (e.k === "done") for (const c of e.c || []) { const t = open.get(c); if (t) { t.t1 = e.t; t.failed = !!e.r; t.end = e; open.delete(c); } }
    if (e.k === "down") { for (const [id, t] of open) { t.t1 = Math.min(t.t1, e.t); t.torn = true; open.delete(id); } }
    if (e.k === "entry") m.entries.push({ e, lane: e.l, t0: e.t });
    if (e.k === "fault" || e.k === "segment" || e.k === "snapshot" || e.k === "up") m.marks.push({ e, lane: e.l, t0: e.t });
    if (e.k === "notice" && (e.w === "lock lost" || e.w === "session lost")) m.marks.push({ e, lane: e.l, t0: e.t });
  }
}

// findEarly marks the log entries that took effect before the disk had them: the log up to the last position of each task that
// has ended well is on the disk.
function findEarly(m) {
  if (m.lanes.filter(l => l.machine === SERVER).length > 1) return; // then a majority of disks counts
  const entries = new Map(m.entries.map(n => [n.e.i, n]));
  let durable = 0;
  for (const e of m.events) {
    if (e.k === "done" && !e.r) durable = Math.max(durable, e.ix || 0);
    if (e.k === "entry") entries.get(e.i).early = e.ix > durable;
  }
}

// ancestors are the events that led to one, the nearest first, at most so many.
function ancestors(m, id, most) {
  const found = [id], seen = new Set(found);
  for (let i = 0; i < found.length && found.length < most; i++) {
    const e = m.byId.get(found[i]);
    for (const c of (e && e.c) || []) if (!seen.has(c) && m.byId.has(c)) { seen.add(c); found.push(c); }
  }
  return found;
}
