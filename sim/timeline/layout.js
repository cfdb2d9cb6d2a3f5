"use strict";
// Which row lies where, from the top: the machines, then a strip for each lock with a row for what the log says and one for
// each client that held or asked for it. Heights shrink, within limits, so that the whole fits.

const GUTTER = 104, AXIS = 26;

function buildLayout(model, view, height) {
  const lanes = model.lanes.filter(l => l.machine !== CLIENT || view.showsClient(l.number));
  const locks = lockOrder(model).filter(l => view.showsLock(l));
  const strips = locks.map(lock => ({ lock, clients: clientsOf(model, view, lock) }));
  const gap = 10, head = 10;
  const rows = strips.reduce((n, s) => n + s.clients.length, 0);
  const fixed = AXIS + head + strips.length * gap + 8;
  // What one unit is worth: a lane takes 3, the log's row 1.3, a client's row 1.
  const units = lanes.length * 3 + strips.length * 1.3 + rows;
  const unit = Math.max(10, Math.min(25, (height - fixed) / Math.max(units, 1)));
  const out = { lanes: new Map(), strips: [], unit, top: AXIS };
  let y = AXIS + 2;
  for (const l of lanes) {
    const h = Math.round(unit * (l.machine === DISK ? 2.2 : 3));
    out.lanes.set(l.index, { lane: l, y, h, mid: Math.round(y + h * 0.66) });
    y += h;
  }
  out.lanesEnd = y;
  y += head;
  for (const s of strips) {
    const strip = { lock: s.lock, y, logH: Math.round(unit * 1.3), rows: new Map() };
    y += strip.logH + 2;
    for (const c of s.clients) {
      strip.rows.set(c, { y, h: Math.round(unit) - 2 });
      y += Math.round(unit);
    }
    strip.end = y;
    out.strips.push(strip);
    y += gap;
  }
  out.height = y + 8;
  return out;
}

// lockOrder puts the locks that the broken promise is about first.
function lockOrder(model) {
  const about = new Set(model.violation ? model.violation.lk || [] : []);
  return model.locks.filter(l => about.has(l)).concat(model.locks.filter(l => !about.has(l)))
    .filter(l => model.holds.some(h => h.lock === l) || model.waits.some(w => w.lock === l) || model.appends.some(a => a.lock === l));
}

function clientsOf(model, view, lock) {
  const all = new Set();
  for (const list of [model.beliefs, model.waits]) for (const s of list) if (s.lock === lock && s.client >= 0) all.add(s.client);
  return [...all].filter(c => view.showsClient(c)).sort((a, b) => a - b);
}
