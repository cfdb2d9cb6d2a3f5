"use strict";
// The canvas. Each frame draws what lies in the view and leaves a list of what can be pointed at. Lines of one style are drawn
// in one stroke, so that ten thousand messages stay fluent.

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif";

function buildChart(canvas, view) {
  const chart = { canvas, view, ctx: canvas.getContext("2d"), hot: [], hover: null, colors: null, patterns: new Map() };
  chart.x = t => GUTTER + (view.scale.u(t) - view.u0) / (view.u1 - view.u0) * (chart.width - GUTTER);
  chart.u = x => view.u0 + (x - GUTTER) / (chart.width - GUTTER) * (view.u1 - view.u0);
  return chart;
}

function readColors(chart) {
  const css = getComputedStyle(document.documentElement), get = n => css.getPropertyValue("--" + n).trim();
  chart.colors = { clients: [] };
  for (const n of ["paper", "ink", "muted", "faint", "grid", "lane", "alarm", "amber", "message", "disk", "files", "server"]) chart.colors[n] = get(n);
  for (let i = 0; i < 8; i++) chart.colors.clients.push(get("c" + i));
  chart.patterns.clear();
}

const clientColor = (chart, c) => c >= 0 ? chart.colors.clients[c % 8] : chart.colors.muted;

// hatch is a pattern of slanted lines (or dots, or a grid) in a colour.
function hatch(chart, kind, color) {
  const key = kind + color;
  if (chart.patterns.has(key)) return chart.patterns.get(key);
  const size = 7, ratio = 2, tile = document.createElement("canvas");
  tile.width = tile.height = size * ratio;
  const c = tile.getContext("2d");
  c.scale(ratio, ratio);
  c.strokeStyle = c.fillStyle = color;
  c.lineWidth = 1.3;
  c.beginPath();
  if (kind === "dots") {
    c.arc(1.8, 1.8, 1, 0, 7); c.fill(); c.beginPath(); c.arc(5.3, 5.3, 1, 0, 7); c.fill();
  } else {
    c.moveTo(-1, size + 1); c.lineTo(size + 1, -1); c.moveTo(-1, 1); c.lineTo(1, -1); c.moveTo(size - 1, size + 1); c.lineTo(size + 1, size - 1);
    if (kind === "grid") { c.moveTo(-1, -1); c.lineTo(size + 1, size + 1); }
    c.stroke();
  }
  const p = chart.ctx.createPattern(tile, "repeat");
  p.setTransform(new DOMMatrix().scale(1 / ratio));
  chart.patterns.set(key, p);
  return p;
}

function resizeCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

function draw(chart) {
  const { view, canvas } = chart, box = canvas.parentElement.getBoundingClientRect();
  chart.width = Math.max(300, box.width);
  chart.height = Math.max(120, box.height);
  chart.ctx = resizeCanvas(canvas, chart.width, chart.height);
  if (!chart.colors) readColors(chart);
  chart.layout = buildLayout(view.model, view, chart.height);
  view.scroll = Math.max(0, Math.min(view.scroll, chart.layout.height - chart.height));
  chart.hot = [];
  chart.labels = [];
  const { ctx } = chart;
  ctx.fillStyle = chart.colors.paper;
  ctx.fillRect(0, 0, chart.width, chart.height);
  ctx.textBaseline = "middle";
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, AXIS, chart.width, chart.height - AXIS);
  ctx.clip();
  ctx.translate(0, -view.scroll);
  drawGround(chart);
  ctx.save();
  ctx.beginPath();
  ctx.rect(GUTTER, AXIS, chart.width - GUTTER, chart.layout.height + 500);
  ctx.clip();
  drawBands(chart);
  if (view.shows("disk")) drawTasks(chart);
  if (view.shows("calls")) drawCalls(chart);
  drawMessages(chart);
  if (view.shows("log")) drawEntries(chart);
  drawMarks(chart);
  drawStrips(chart);
  drawMoments(chart);
  drawPointed(chart);
  ctx.restore();
  drawGutter(chart);
  ctx.restore();
  drawAxis(chart);
}

const visible = (view, s) => s.t1 >= view.t0 && s.t0 <= view.t1;
const bright = (chart, id) => !chart.view.related || chart.view.related.has(id);
const hit = (chart, e) => chart.view.hitSet && chart.view.hitSet.has(e.i);

function hotBox(chart, e, x, y, w, h) { chart.hot.push({ e, x0: x, y0: y, x1: x + w, y1: y + h }); }

// label draws a text where no other label is, if it has the room.
function label(chart, text, x, y, o = {}) {
  const { ctx } = chart;
  if (o.room !== undefined && o.room < 14) return false;
  ctx.font = `${o.bold ? "600 " : ""}${o.size || 10}px ${FONT}`;
  const w = ctx.measureText(text).width, h = (o.size || 10) + 2;
  if (o.room !== undefined && w > o.room) return false;
  const left = o.align === "right" ? x - w : x, box = [left - 2, y - h / 2, left + w + 2, y + h / 2];
  if (o.inside || o.force) {
    chart.labels.push(box);
  } else {
    for (const b of chart.labels) if (b[0] < box[2] && b[2] > box[0] && b[1] < box[3] && b[3] > box[1]) return false;
    chart.labels.push(box);
    if (!o.bare) {
      ctx.globalAlpha = 0.82;
      ctx.fillStyle = chart.colors.paper;
      ctx.fillRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
      ctx.globalAlpha = 1;
    }
  }
  ctx.fillStyle = o.color || chart.colors.muted;
  ctx.fillText(text, left, y + 0.5);
  return true;
}

function drawGround(chart) {
  const { ctx, layout, colors, width } = chart;
  let odd = false;
  for (const { y, h } of layout.lanes.values()) {
    if ((odd = !odd)) { ctx.fillStyle = colors.lane; ctx.fillRect(0, y, width, h); }
  }
  ctx.fillStyle = hatch(chart, "lines", colors.grid);
  for (const f of chart.view.scale.folds) {
    const x0 = Math.max(GUTTER, chart.x(f.t0)), x1 = chart.x(f.t1);
    if (f.strong && x1 > x0 && x0 < width && x1 - x0 > 6) ctx.fillRect(x0, AXIS, x1 - x0, layout.lanesEnd - AXIS);
  }
  ctx.strokeStyle = colors.grid;
  ctx.lineWidth = 1;
  ctx.beginPath();
  for (const { at } of ticks(chart)) {
    const x = Math.round(chart.x(at)) + 0.5;
    if (x > GUTTER) { ctx.moveTo(x, 0); ctx.lineTo(x, layout.height + 2000); }
  }
  ctx.stroke();
  ctx.beginPath();
  for (const { lane, mid } of layout.lanes.values()) {
    ctx.moveTo(Math.max(GUTTER, chart.x(0)), mid + 0.5);
    ctx.lineTo(Math.min(width, chart.x(chart.view.model.end)), mid + 0.5);
  }
  ctx.strokeStyle = colors.faint;
  ctx.stroke();
}

const BAND_NAMES = { down: "down", power: "power cut", freeze: "stands still", cut: "link cut", slow: "slow disk" };

function drawBands(chart) {
  const { ctx, view, colors, layout } = chart;
  for (const b of view.model.bands) {
    const row = layout.lanes.get(b.lane);
    if (!row || !visible(view, b) || (b.kind !== "down" && b.kind !== "power" && !view.shows("faults"))) continue;
    const x0 = chart.x(b.t0), x1 = Math.max(chart.x(b.t1), x0 + 2), left = Math.max(x0, GUTTER);
    let y = row.y + 1, h = row.h - 2;
    if (b.kind === "cut") { h = 5; y = b.way === 1 ? row.y + row.h - 13 + 7 : row.y + row.h - 13; }
    ctx.globalAlpha = b.kind === "cut" ? 0.9 : 1;
    if (b.kind !== "cut") {
      ctx.fillStyle = colors.paper;
      ctx.fillRect(x0, y, x1 - x0, h);
    }
    ctx.fillStyle = {
      down: () => hatch(chart, "lines", colors.faint), power: () => hatch(chart, "grid", colors.muted),
      freeze: () => hatch(chart, "dots", colors.server), cut: () => colors.amber, slow: () => hatch(chart, "dots", colors.amber),
    }[b.kind]();
    if (b.kind === "power" || b.kind === "slow") ctx.globalAlpha = 0.55;
    ctx.fillRect(x0, y, x1 - x0, h);
    ctx.globalAlpha = 1;
    if (b.kind === "down" || b.kind === "power") {
      ctx.fillStyle = colors.alarm;
      ctx.fillRect(x0 - 1, y, 2, h);
    }
    if (b.kind === "cut") {
      ctx.fillStyle = colors.paper;
      for (let x = Math.max(x0, GUTTER - (GUTTER - x0) % 8) + 4; x < Math.min(x1, chart.width); x += 8) ctx.fillRect(x, y, 1.5, h);
    }
    let name = BAND_NAMES[b.kind];
    if (b.kind === "cut") name = b.e.w === "clog" ? "clogged" : b.way === 1 ? "cut from server" : "cut to server";
    if (b.kind === "slow") name = b.e.w.replace("-", " ");
    label(chart, name, left + 5, b.kind === "cut" ? y - 4 : row.y + 8, { size: 9, room: Math.min(x1, chart.width) - left - 8, color: b.kind === "down" || b.kind === "power" ? colors.alarm : colors.muted, bold: b.kind !== "cut" });
    hotBox(chart, b.e, x0, y, x1 - x0, h);
  }
}

function drawTasks(chart) {
  const { ctx, view, colors, layout } = chart;
  for (const t of view.model.tasks) {
    const row = layout.lanes.get(t.lane);
    if (!row || !visible(view, t)) continue;
    const x0 = chart.x(t.t0), x1 = chart.x(t.t1), w = Math.max(x1 - x0, 1.5), h = t.files ? 6 : 11, y = row.mid - h / 2 + (t.files ? 9 : 0);
    ctx.globalAlpha = bright(chart, t.e.i) || (t.end && bright(chart, t.end.i)) ? 1 : 0.5;
    ctx.fillStyle = t.files ? colors.files : colors.disk;
    ctx.beginPath();
    ctx.roundRect(x0, y, w, h, Math.min(2, w / 2));
    ctx.fill();
    if (t.torn || t.failed) { ctx.fillStyle = colors.alarm; ctx.fillRect(x1 - 2, y - 2, 3, h + 4); }
    if (!t.files && t.e.ix) label(chart, w > 90 ? "log position " + t.e.ix : "" + t.e.ix, Math.max(x0, GUTTER) + 4, y + h / 2, { size: 9, inside: true, room: Math.min(x1, chart.width) - Math.max(x0, GUTTER) - 6, color: colors.paper });
    ctx.globalAlpha = 1;
    // Ties to the server's line: what was asked when, and known when.
    const above = layout.lanes.get(t.lane - 1);
    if (above && w > 5 && !t.files) {
      ctx.strokeStyle = colors.disk;
      ctx.lineWidth = 1;
      ctx.setLineDash([2, 2]);
      ctx.beginPath();
      ctx.moveTo(x0 + 0.5, above.mid); ctx.lineTo(x0 + 0.5, y); ctx.moveTo(x1 - 0.5, y); ctx.lineTo(x1 - 0.5, above.mid);
      ctx.stroke();
      ctx.setLineDash([]);
    }
    hotBox(chart, t.e, x0 - 1, y - 2, w + 2, h + 4);
  }
}

function drawCalls(chart) {
  const { ctx, view, colors, layout } = chart;
  for (const c of view.model.calls) {
    const row = layout.lanes.get(c.lane);
    if (!row || !visible(view, c) || !passes(view, c.e)) continue;
    const h = Math.max(5, Math.min(12, (row.mid - row.y - 7) / 2)), y = row.y + 3 + (c.track % 2) * (h + 1);
    const x0 = chart.x(c.t0), x1 = Math.max(chart.x(c.t1), x0 + 1.5), color = clientColor(chart, c.client);
    const strong = bright(chart, c.e.i) || (c.end && bright(chart, c.end.i));
    ctx.globalAlpha = strong ? 0.3 : 0.14;
    ctx.fillStyle = color;
    ctx.beginPath();
    ctx.roundRect(x0, y, x1 - x0, h, Math.min(2, (x1 - x0) / 2));
    ctx.fill();
    ctx.globalAlpha = strong ? 1 : 0.4;
    ctx.fillRect(x0, y, 1.5, h);
    if (c.refused) { ctx.fillStyle = colors.alarm; ctx.fillRect(x1 - 1.5, y, 2, h); }
    label(chart, (c.e.w || "") + (c.e.lk ? " " + c.e.lk[0] : ""), Math.max(x0, GUTTER) + 4, y + h / 2, { size: 9, inside: true, room: Math.min(x1, chart.width) - Math.max(x0, GUTTER) - 6, color: colors.ink });
    ctx.globalAlpha = 1;
    hotBox(chart, c.e, x0 - 1, y, x1 - x0 + 2, h);
  }
}

// A message that does not arrive is drawn a part of its way.
const REACH = { lost: 0.55, cut: 0.86, reset: 0.72, pending: 0.9 };

const DASH = { ok: [], dup: [1.5, 3], late: [9, 4], lost: [4, 3], cut: [4, 3], reset: [4, 3], pending: [1, 4] };
const isLost = s => s.kind === "lost" || s.kind === "cut" || s.kind === "reset";

function drawMessages(chart) {
  const { ctx, view, colors, layout } = chart, styles = new Map(), named = [];
  const scale = (chart.width - GUTTER) / (view.u1 - view.u0), keepalives = view.shows("keepalives"), messages = view.shows("messages");
  // Of lines that would lie on each other one is drawn: from far away there are many for each pixel.
  const drawn = new Set();
  for (const s of view.model.messages) {
    if (s.u1 < view.u0 || s.u0 > view.u1) continue;
    if (!(s.routine ? keepalives : messages) || !passes(view, s.e)) continue;
    const from = layout.lanes.get(s.from), to = layout.lanes.get(s.to);
    if (!from || !to) continue;
    const strong = bright(chart, s.e.i) && (s.kind !== "dup" || bright(chart, s.end.i)), found = hit(chart, s.e);
    const x0 = GUTTER + (s.u0 - view.u0) * scale, x = GUTTER + (s.u1 - view.u0) * scale, reach = REACH[s.kind] || 1;
    const style = s.style * 4 + (strong ? 2 : 0) + (found ? 1 : 0);
    const place = (((style * 64 + s.from) * 64 + s.to) * 16384 + (Math.round(x0) & 16383)) * 16384 + (Math.round(x) & 16383);
    if (drawn.has(place)) continue;
    drawn.add(place);
    const at = { x0, y0: from.mid, x1: x0 + (x - x0) * reach, y1: from.mid + (to.mid - from.mid) * reach };
    let p = styles.get(style);
    if (!p) styles.set(style, p = { s, strong, found, body: new Path2D(), heads: new Path2D(), crosses: new Path2D() });
    p.body.moveTo(at.x0, at.y0);
    p.body.lineTo(at.x1, at.y1);
    headOf(p, s, at);
    chart.hot.push({ e: s.end && !isLost(s) ? s.end : s.e, sent: s.e, line: at });
    if (strong && view.related || view.model.messages.length < 60) named.push([s, at]);
  }
  const crowd = Math.max(0.12, Math.min(0.6, 0.6 - (chart.hot.length - 400) / 4000)); // many lines are drawn fainter
  for (const { s, strong, found, body, heads, crosses } of styles.values()) {
    ctx.globalAlpha = found ? 1 : strong ? (view.related ? 1 : crowd) : Math.min(0.2, crowd);
    ctx.strokeStyle = ctx.fillStyle = found ? colors.amber : isLost(s) ? colors.alarm : strong && view.related ? colors.ink : colors.message;
    ctx.lineWidth = strong && view.related ? 1.5 : 1;
    ctx.setLineDash(DASH[s.kind]);
    ctx.lineCap = s.kind === "dup" ? "round" : "butt";
    ctx.stroke(body);
    ctx.setLineDash([]);
    ctx.lineCap = "butt";
    if (s.kind === "late") ctx.stroke(heads); else ctx.fill(heads);
    ctx.lineWidth = 1.6;
    ctx.stroke(crosses);
    ctx.globalAlpha = 1;
  }
  for (const [s, at] of named) {
    const down = at.y1 > at.y0, x = at.x0 + 5;
    if (x < GUTTER || x > chart.width - 20) continue;
    label(chart, nameOf(chart, s), x, at.y0 + (down ? 9 : -9), { size: 9, color: isLost(s) ? colors.alarm : colors.ink });
  }
}

// nameOf is a message in a few words: of what is in it, the part that the broken promise is about, if any is.
function nameOf(chart, s) {
  const parts = s.e.x.slice(s.e.x.indexOf(": ") + 2).split("; "), model = chart.view.model;
  const about = parts.find(p => [...model.concerned].some(t => p.includes("token " + t))) || parts.find(p => model.violation && (model.violation.lk || []).some(l => p.includes(l))) || parts[0];
  const what = about.replace(/^session \d+( #\d+)?:? /, "").match(/^[A-Za-z-]+( to session \d+| acquired| timeout| revoked| limit| exclusive(?=,))?/);
  const token = about.match(/token (\d+)/);
  return (what ? what[0] : s.e.w) + (token ? " " + token[1] : "") + (about.endsWith(", again") ? " again" : "");
}

// headOf ends a message's line: an arrow where it arrives, a cross, a bar or a bolt where it does not.
function headOf(p, s, { x0, y0, x1, y1 }) {
  const a = Math.atan2(y1 - y0, x1 - x0), c = Math.cos(a), d = Math.sin(a);
  const at = (u, v) => [x1 + u * c - v * d, y1 + u * d + v * c];
  if (s.kind === "lost") {
    p.crosses.moveTo(x1 - 3.5, y1 - 3.5); p.crosses.lineTo(x1 + 3.5, y1 + 3.5); p.crosses.moveTo(x1 + 3.5, y1 - 3.5); p.crosses.lineTo(x1 - 3.5, y1 + 3.5);
  } else if (s.kind === "cut") {
    p.crosses.moveTo(...at(0, -5)); p.crosses.lineTo(...at(0, 5));
  } else if (s.kind === "reset") {
    p.crosses.moveTo(x1 - 4, y1 + 1); p.crosses.lineTo(x1 + 1, y1 - 4); p.crosses.lineTo(x1 - 1, y1 + 3); p.crosses.lineTo(x1 + 4, y1 - 2);
  } else if (s.kind !== "pending") {
    p.heads.moveTo(...at(0, 0)); p.heads.lineTo(...at(-7, -3)); p.heads.lineTo(...at(-7, 3)); p.heads.closePath();
  }
}

function drawEntries(chart) {
  const { ctx, view, colors, layout } = chart;
  for (const n of view.model.entries) {
    const row = layout.lanes.get(n.lane);
    if (!row || !visible(view, { t0: n.t0, t1: n.t0 }) || !passes(view, n.e)) continue;
    const x = chart.x(n.t0), strong = bright(chart, n.e.i);
    ctx.globalAlpha = strong ? 1 : 0.4;
    const odd = n.early || n.e.w === "changed";
    if (odd) ctx.globalAlpha = 1;
    ctx.fillStyle = hit(chart, n.e) ? colors.amber : odd ? colors.alarm : colors.server;
    ctx.fillRect(x - 1.5, row.mid - 6, 3, 12);
    ctx.globalAlpha = 1;
    if (odd) label(chart, n.e.ix + (n.early ? " before its sync" : " is another than before"), x + 4, row.y + row.h - 5, { size: 9, bold: true, color: colors.alarm });
    else if (strong) label(chart, "" + n.e.ix, x + 4, row.mid - 12, { size: 9 });
    hotBox(chart, n.e, x - 3, row.mid - 8, 6, 16);
  }
}

const MARK_NAMES = { up: "starts" };

function drawMarks(chart) {
  const { ctx, view, colors, layout } = chart;
  for (const m of view.model.marks) {
    const x = chart.x(m.t0);
    if (m.t0 < view.t0 || m.t0 > view.t1 || !passes(view, m.e)) continue;
    if (m.e.k === "fault" && !view.shows("faults") || (m.e.k === "segment" || m.e.k === "snapshot") && !view.shows("disk")) continue;
    const row = layout.lanes.get(m.lane);
    if (!row) continue;
    const low = m.e.k === "segment" || m.e.k === "snapshot", y = low ? row.y + row.h - 5 : row.y + 6;
    ctx.fillStyle = m.e.k === "fault" ? colors.amber : m.e.k === "notice" ? colors.alarm : low ? colors.files : colors.muted;
    ctx.beginPath();
    if (m.e.k === "fault") { ctx.moveTo(x - 5, y - 4); ctx.lineTo(x + 5, y - 4); ctx.lineTo(x, y + 4); }
    else if (m.e.k === "up") { ctx.moveTo(x, y - 4); ctx.lineTo(x + 7, y); ctx.lineTo(x, y + 4); }
    else if (m.e.k === "notice") { ctx.arc(x, y, 3.5, 0, 7); }
    else { ctx.moveTo(x, y - 3); ctx.lineTo(x + 3, y); ctx.lineTo(x, y + 3); ctx.lineTo(x - 3, y); }
    ctx.fill();
    if (!low) label(chart, MARK_NAMES[m.e.k] || m.e.w, x + 8, y, { size: 9, bold: m.e.k === "fault", color: m.e.k === "notice" ? colors.alarm : colors.muted });
    hotBox(chart, m.e, x - 5, y - 5, 10, 10);
  }
}

function drawStrips(chart) {
  const { view, layout } = chart, model = view.model;
  for (const strip of layout.strips) {
    for (const h of model.holds) if (h.lock === strip.lock && visible(view, h) && view.showsClient(h.client)) drawHold(chart, strip, h);
    for (const h of model.holds) if (h.lock === strip.lock && visible(view, h) && view.showsClient(h.client)) drawEnd(chart, strip, h);
    for (const a of model.appends) if (a.lock === strip.lock && a.t0 >= view.t0 && a.t0 <= view.t1 && view.showsClient(a.client)) drawAppend(chart, strip, a);
    for (const w of model.waits) if (w.lock === strip.lock && visible(view, w)) drawWait(chart, strip, w);
    for (const b of model.beliefs) if (b.lock === strip.lock && visible(view, b)) drawBelief(chart, strip, b);
  }
}

const concerned = (chart, s) => chart.view.model.concerned.has(s.token);

function bar(chart, x, y, w, h, color, shared) {
  const { ctx } = chart;
  ctx.beginPath();
  ctx.roundRect(x, y, w, h, Math.min(3, w / 2));
  if (shared) {
    const alpha = ctx.globalAlpha;
    ctx.globalAlpha = alpha * 0.25; ctx.fillStyle = color; ctx.fill();
    ctx.globalAlpha = alpha; ctx.fillStyle = hatch(chart, "lines", color); ctx.fill();
    ctx.strokeStyle = color; ctx.lineWidth = 1; ctx.stroke();
  } else { ctx.fillStyle = color; ctx.fill(); }
}

function outline(chart, x, y, w, h) {
  const { ctx } = chart;
  ctx.strokeStyle = chart.colors.alarm;
  ctx.lineWidth = 2;
  ctx.beginPath();
  ctx.roundRect(x - 1, y - 1, w + 2, h + 2, 4);
  ctx.stroke();
}

// Shared holds of one lock share the row: each takes a part of its height.
function drawHold(chart, strip, h) {
  const { ctx, view, colors } = chart;
  const { parts, place } = h;
  const rowH = (strip.logH - 2) / parts, y = strip.y + 1 + place * rowH;
  const x0 = chart.x(h.t0), x1 = Math.max(chart.x(h.t1), x0 + 2), color = clientColor(chart, h.client);
  const xr = h.revoked ? chart.x(h.revoked) : x1;
  ctx.globalAlpha = view.related && !view.related.has(h.e.i) && !concerned(chart, h) ? 0.5 : 1;
  bar(chart, x0, y, Math.max(xr - x0, 2), rowH - 1, color, h.shared);
  if (h.revoked) { ctx.strokeStyle = color; ctx.lineWidth = 1.2; ctx.setLineDash([3, 2]); ctx.strokeRect(xr, y + 0.5, x1 - xr, rowH - 2); ctx.setLineDash([]); }
  const left = Math.max(x0, GUTTER) + 5, room = Math.min(x1, chart.width) - left - 4, tone = h.shared || h.revoked && left > xr ? colors.ink : colors.paper;
  const o = { size: rowH > 11 ? 10 : 8, inside: true, room, color: tone, bold: true };
  label(chart, `client ${h.client}, token ${h.token}${h.shared ? ", shared" : ""}`, left, y + rowH / 2 - 0.5, o) || label(chart, "" + h.token, left, y + rowH / 2 - 0.5, o);
  ctx.globalAlpha = 1;
  if (concerned(chart, h)) outline(chart, x0, y, x1 - x0, rowH - 1);
  hotBox(chart, h.e, x0, y, x1 - x0, rowH);
}

// drawEnd says how a hold ended, where there is room for it; what is odd is said in any case.
function drawEnd(chart, strip, h) {
  const { ctx, colors } = chart, x1 = chart.x(h.t1), y = strip.y + strip.logH / 2;
  if (h.end && x1 > GUTTER && x1 < chart.width && chart.x(h.next) - x1 > 20 || h.oddEnd) {
    ctx.font = `600 9px ${FONT}`;
    const w = ctx.measureText(h.why).width, x = Math.min(x1 + 4, chart.width - w - 4);
    if (h.oddEnd) {
      ctx.fillStyle = colors.paper;
      ctx.fillRect(x - 3, y - 7, w + 6, 14);
      label(chart, h.why, x, y, { size: 9, bold: true, force: true, color: colors.alarm });
    }
    else if (x > x1 && chart.x(h.next) > x + w) label(chart, h.why, x, y, { size: 9, bare: true });
  }
}

function drawBelief(chart, strip, b) {
  const { ctx, view, colors } = chart, row = strip.rows.get(b.client);
  if (!row) return;
  const x0 = chart.x(b.t0), x1 = Math.max(chart.x(b.t1), x0 + 2), color = clientColor(chart, b.client), h = Math.max(5, row.h - 4), y = row.y + 2;
  ctx.globalAlpha = view.related && !concerned(chart, b) && !(b.leases || []).some(e => view.related.has(e.i)) ? 0.45 : 1;
  bar(chart, x0, y, x1 - x0, h, color, b.shared);
  ctx.fillStyle = b.shared ? colors.ink : colors.paper;
  for (const e of (b.leases || []).slice(1)) { const x = chart.x(e.t); if (x > GUTTER) ctx.fillRect(x - 0.5, y + 1, 1, h - 2); }
  const left = Math.max(x0, GUTTER) + 5;
  label(chart, "says held, " + b.token, left, y + h / 2, { size: 8.5, inside: true, room: Math.min(x1, chart.width) - left - 4, color: b.shared ? colors.ink : colors.paper });
  ctx.globalAlpha = 1;
  if (b.open && b.until) { // how long it would have gone on
    const xu = chart.x(b.until);
    ctx.strokeStyle = color; ctx.lineWidth = 1.5; ctx.setLineDash([2, 2]);
    ctx.beginPath(); ctx.moveTo(x1, y + h / 2); ctx.lineTo(xu, y + h / 2); ctx.moveTo(xu, y); ctx.lineTo(xu, y + h); ctx.stroke(); ctx.setLineDash([]);
    label(chart, "until " + b.until.toFixed(3) + " s", x1 + 6, y + h / 2, { size: 9 });
  }
  if (concerned(chart, b)) outline(chart, x0, y, x1 - x0, h);
  const last = (b.leases || [b.e]);
  hotBox(chart, last[0], x0, y, x1 - x0, h);
  for (const e of last.slice(1)) hotBox(chart, e, chart.x(e.t) - 3, y, 6, h);
}

function drawWait(chart, strip, w) {
  const { ctx, view } = chart, row = strip.rows.get(w.client);
  if (!row) return;
  const x0 = chart.x(w.t0), x1 = Math.max(chart.x(w.t1), x0 + 2), y = row.y + row.h / 2;
  ctx.globalAlpha = view.related && !view.related.has(w.e.i) ? 0.55 : 1;
  ctx.strokeStyle = clientColor(chart, w.client);
  ctx.lineWidth = 2;
  ctx.setLineDash([2, 3]);
  ctx.beginPath(); ctx.moveTo(x0, y); ctx.lineTo(x1, y); ctx.stroke();
  ctx.setLineDash([]);
  ctx.beginPath(); ctx.moveTo(x0, y - 4); ctx.lineTo(x0, y + 4); ctx.stroke();
  ctx.globalAlpha = 1;
  hotBox(chart, w.e, x0 - 2, row.y, x1 - x0 + 4, row.h);
}

function drawAppend(chart, strip, a) {
  const { ctx, colors } = chart, x = chart.x(a.t0), y = strip.y + strip.logH - 3;
  ctx.beginPath();
  if (a.refused) {
    ctx.moveTo(x - 3.5, y - 3.5); ctx.lineTo(x + 3.5, y + 3.5); ctx.moveTo(x + 3.5, y - 3.5); ctx.lineTo(x - 3.5, y + 3.5);
    ctx.lineWidth = 4; ctx.strokeStyle = colors.paper; ctx.stroke();
    ctx.lineWidth = 1.8; ctx.strokeStyle = colors.alarm; ctx.stroke();
  } else {
    ctx.moveTo(x, y - 5); ctx.lineTo(x + 4, y + 3); ctx.lineTo(x - 4, y + 3); ctx.closePath();
    ctx.fillStyle = colors.ink; ctx.strokeStyle = colors.paper; ctx.lineWidth = 1.5; ctx.stroke(); ctx.fill();
  }
  hotBox(chart, a.e, x - 5, y - 6, 10, 11);
}

// drawMoments draws what cuts through everything: the end of the faults, and the broken promise.
function drawMoments(chart) {
  const { ctx, view, colors, layout } = chart, model = view.model, bottom = Math.max(layout.height, chart.height + view.scroll);
  if (model.heal !== null && model.heal >= view.t0 && model.heal <= view.t1) {
    const x = Math.round(chart.x(model.heal)) + 0.5;
    ctx.strokeStyle = colors.muted; ctx.lineWidth = 1; ctx.setLineDash([6, 4]);
    ctx.beginPath(); ctx.moveTo(x, 0); ctx.lineTo(x, bottom); ctx.stroke(); ctx.setLineDash([]);
  }
  const v = model.violation;
  if (v && v.t >= view.t0 && v.t <= view.t1) {
    const x = chart.x(v.t);
    ctx.fillStyle = colors.alarm;
    ctx.fillRect(x - 1, 0, 2, bottom);
    hotBox(chart, v, x - 4, 0, 8, bottom);
  }
}

// drawPointed rings what is selected, or under the pointer.
function drawPointed(chart) {
  const { ctx, colors } = chart;
  for (const [id, color, width] of [[chart.hover, colors.muted, 1.5], [chart.view.selected, colors.ink, 2]]) {
    if (id === null || id === undefined) continue;
    const spots = chart.hot.filter(h => h.e.i === id || h.sent && h.sent.i === id);
    ctx.strokeStyle = color;
    ctx.lineWidth = width;
    for (const h of spots) {
      if (h.e.k === "violation") continue;
      ctx.beginPath();
      if (h.line) { ctx.arc(h.line.x0, h.line.y0, 4, 0, 7); ctx.moveTo(h.line.x1 + 5, h.line.y1); ctx.arc(h.line.x1, h.line.y1, 5, 0, 7); }
      else ctx.roundRect(h.x0 - 2.5, h.y0 - 2.5, h.x1 - h.x0 + 5, h.y1 - h.y0 + 5, 4);
      ctx.stroke();
    }
    const e = chart.view.model.byId.get(id), row = e && chart.layout.lanes.get(e.l);
    if (!spots.length && row && e.t >= chart.view.t0 && e.t <= chart.view.t1) { ctx.beginPath(); ctx.arc(chart.x(e.t), row.mid, 5, 0, 7); ctx.stroke(); }
  }
}

function drawGutter(chart) {
  const { ctx, layout, colors } = chart;
  ctx.fillStyle = colors.paper;
  ctx.fillRect(0, 0, GUTTER, layout.height + 2000);
  ctx.strokeStyle = colors.grid;
  ctx.beginPath(); ctx.moveTo(GUTTER - 0.5, 0); ctx.lineTo(GUTTER - 0.5, layout.height + 2000); ctx.stroke();
  const write = (text, x, y, o) => label(chart, text, x, y, { inside: true, ...o });
  for (const { lane, mid } of layout.lanes.values()) {
    if (lane.machine === CLIENT) { ctx.fillStyle = clientColor(chart, lane.number); ctx.beginPath(); ctx.roundRect(12, mid - 5, 10, 10, 3); ctx.fill(); }
    write(lane.name, lane.machine === CLIENT ? 28 : 12, mid, { size: 12, color: colors.ink, bold: lane.machine !== CLIENT });
  }
  ctx.beginPath(); ctx.moveTo(0, layout.lanesEnd + 0.5); ctx.lineTo(chart.width, layout.lanesEnd + 0.5); ctx.strokeStyle = colors.faint; ctx.stroke();
  for (const s of layout.strips) {
    write(s.lock, 12, s.y + s.logH / 2, { size: 12, color: colors.ink, bold: true });
    write("log", GUTTER - 8, s.y + s.logH / 2, { size: 9, align: "right" });
    for (const [c, row] of s.rows) {
      ctx.fillStyle = clientColor(chart, c);
      ctx.beginPath(); ctx.roundRect(GUTTER - 58, row.y + row.h / 2 - 3, 6, 6, 2); ctx.fill();
      write("client " + c, GUTTER - 8, row.y + row.h / 2, { size: 9.5, align: "right" });
    }
  }
}

// ticks are round times, so many that their labels do not touch; how fine they are changes where time is folded.
function ticks(chart) {
  const { view } = chart, out = [], room = 100;
  let last = -Infinity;
  for (let x = GUTTER; x < chart.width; x += room / 2) {
    const t = view.scale.t(chart.u(x)), want = Math.max(1e-7, (view.scale.t(chart.u(x + room)) - t));
    const step = [1, 2, 5, 10].map(f => f * 10 ** Math.floor(Math.log10(want))).find(s => s >= want * 0.999) || want;
    const at = Math.ceil(t / step - 1e-9) * step, px = chart.x(at);
    if (px < last + room * 0.8 || px < x || at < -1e-9 || at > view.model.end * 1.001) continue;
    last = px;
    out.push({ at, text: at.toFixed(Math.max(0, Math.min(7, -Math.floor(Math.log10(step) + 1e-9)))) + " s" });
  }
  return out;
}

function drawAxis(chart) {
  const { ctx, colors, view } = chart, model = view.model;
  ctx.fillStyle = colors.paper;
  ctx.fillRect(0, 0, chart.width, AXIS);
  ctx.strokeStyle = colors.faint;
  ctx.lineWidth = 1;
  ctx.beginPath(); ctx.moveTo(0, AXIS - 0.5); ctx.lineTo(chart.width, AXIS - 0.5); ctx.stroke();
  chart.labels = [];
  const v = model.violation;
  if (v && v.t >= view.t0 && v.t <= view.t1) drawFlag(chart, v);
  if (model.heal !== null && chart.x(model.heal) > GUTTER) label(chart, "no more faults", chart.x(model.heal) + 4, AXIS / 2, { size: 10, bare: true });
  for (const { at, text } of ticks(chart)) {
    const x = chart.x(at);
    if (x >= GUTTER) label(chart, text, x + 5, AXIS / 2, { size: 10, bare: true, room: chart.width - x - 6 });
  }
  for (const f of view.scale.folds) {
    const x0 = chart.x(f.t0), x1 = chart.x(f.t1);
    if (f.strong && x0 > GUTTER && x1 < chart.width && x1 - x0 > 6) label(chart, "\u2026", (x0 + x1) / 2 - 4, AXIS / 2, { size: 12, bare: true });
  }
}

function drawFlag(chart, v) {
  const { ctx, colors, view } = chart, x = chart.x(v.t);
  const text = v.w + " broken" + (view.model.data.promise ? ": " + view.model.data.promise.split(":")[0] : "");
  ctx.font = `600 11px ${FONT}`;
  const w = ctx.measureText(text).width + 14, left = x + w > chart.width ? x - w + 1 : x - 1;
  ctx.fillStyle = colors.alarm;
  ctx.beginPath(); ctx.roundRect(left, 3, w, AXIS - 6, 3); ctx.fill();
  ctx.fillRect(x - 1, AXIS - 6, 2, 6);
  chart.labels.push([left - 4, 0, left + w + 4, AXIS]);
  ctx.fillStyle = colors.paper;
  ctx.fillText(text, left + 7, AXIS / 2 + 0.5);
  chart.hot.push({ e: v, x0: left, y0: 3 + view.scroll, x1: left + w, y1: AXIS + view.scroll });
}

// pick finds what lies at a point of the canvas; boxes win over lines, the last drawn over the first.
function pick(chart, x, y) {
  y += chart.view.scroll;
  let best = null, near = 5;
  for (let i = chart.hot.length - 1; i >= 0; i--) {
    const h = chart.hot[i];
    if (h.line) {
      const d = distance(x, y, h.line);
      if (d < near) { near = d; best = h; }
    } else if (x >= h.x0 - 1 && x <= h.x1 + 1 && y >= h.y0 && y <= h.y1) return h;
  }
  return best;
}

function distance(x, y, { x0, y0, x1, y1 }) {
  const dx = x1 - x0, dy = y1 - y0, l = dx * dx + dy * dy || 1;
  const s = Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / l));
  return Math.hypot(x - x0 - s * dx, y - y0 - s * dy);
}

// drawOverview shows the whole run, how much happened when, and the part that is seen.
function drawOverview(canvas, chart) {
  const { view, colors } = chart, { width, height } = canvas.getBoundingClientRect(), ctx = resizeCanvas(canvas, width, height);
  const model = view.model, end = view.scale.u(model.end) || 1, x = t => GUTTER + view.scale.u(t) / end * (width - GUTTER - 12), bins = new Array(Math.max(1, Math.floor((width - GUTTER) / 3))).fill(0);
  for (const e of model.events) bins[Math.min(bins.length - 1, Math.max(0, Math.floor((x(e.t) - GUTTER) / 3)))]++;
  const most = Math.max(...bins, 1);
  for (const b of model.bands) {
    if (b.kind !== "down" && b.kind !== "power" && b.kind !== "freeze") continue;
    ctx.globalAlpha = 0.16; ctx.fillStyle = b.kind === "freeze" ? colors.server : colors.alarm;
    ctx.fillRect(x(b.t0), 4, Math.max(1, x(b.t1) - x(b.t0)), height - 8);
  }
  ctx.globalAlpha = 0.75;
  ctx.fillStyle = colors.message;
  bins.forEach((n, i) => { const h = Math.sqrt(n / most) * (height - 12); ctx.fillRect(GUTTER + i * 3, height - 5 - h, 2, h); });
  ctx.globalAlpha = 1;
  if (model.violation) { ctx.fillStyle = colors.alarm; ctx.fillRect(x(model.violation.t) - 1, 0, 2.5, height); }
  const a = Math.max(GUTTER, x(view.t0)), b = Math.min(width - 2, Math.max(x(view.t1), a + 3));
  ctx.globalAlpha = 0.08; ctx.fillStyle = colors.ink; ctx.fillRect(a, 1, b - a, height - 2);
  ctx.globalAlpha = 1; ctx.strokeStyle = colors.ink; ctx.lineWidth = 1.5; ctx.beginPath(); ctx.roundRect(a, 1.5, b - a, height - 3, 4); ctx.stroke();
  ctx.font = `10px ${FONT}`; ctx.textBaseline = "middle"; ctx.fillStyle = colors.muted; ctx.fillText("whole run", 12, height / 2);
  return { u: px => (px - GUTTER) / (width - GUTTER - 12) * end };
}
