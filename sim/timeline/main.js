"use strict";
// Pointer, wheel, keyboard, and the start.

function start() {
  const model = buildModel(JSON.parse(document.getElementById("data").textContent));
  const view = buildView(model);
  const canvas = document.getElementById("chart"), overview = document.getElementById("overview"), panel = document.getElementById("panel");
  const chart = buildChart(canvas, view);
  let due = false, scale = null, shown, controls;
  view.changed = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(paint);
  };
  function paint() {
    due = false;
    const state = JSON.stringify([...Object.values(view.hidden).map(s => [...s]), view.query, view.hits.length, view.selected, view.folded]);
    if (state !== controls) { controls = state; renderToolbar(view); }
    if (shown !== view.selected) { shown = view.selected; renderPanel(panel, view); panel.scrollTop = 0; }
    draw(chart); // after what may change the room for it
    scale = drawOverview(overview, chart);
    if (location.hash !== linkOf(view)) history.replaceState(null, "", linkOf(view));
  }
  renderHeader(model);
  document.getElementById("cause").hidden = !model.violation;
  if (!follow(view, location.hash)) home(view);
  document.getElementById("search").value = view.query;
  listenToPointer(chart, view, canvas);
  listenToOverview(view, overview, px => scale.u(px));
  listenToKeys(view, chart);
  listenToButtons(view, chart);
  window.addEventListener("hashchange", () => { if (location.hash !== linkOf(view)) follow(view, location.hash); });
  new ResizeObserver(paint).observe(canvas.parentElement); // at once: what was drawn for another size is stretched
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { chart.colors = null; view.changed(); });
  window.addEventListener("beforeprint", () => { document.documentElement.classList.add("print"); chart.colors = null; paint(); });
  window.addEventListener("afterprint", () => { document.documentElement.classList.remove("print"); chart.colors = null; paint(); });
  window.timeline = { model, view, chart };
  paint();
}

function listenToPointer(chart, view, canvas) {
  const tip = document.getElementById("tip");
  let drag = null;
  const point = ev => { const b = canvas.getBoundingClientRect(); return [ev.clientX - b.left, ev.clientY - b.top]; };
  canvas.addEventListener("pointerdown", ev => {
    const [x, y] = point(ev);
    drag = { x, y, u0: view.u0, u1: view.u1, scroll: view.scroll, moved: false };
    canvas.setPointerCapture(ev.pointerId);
  });
  canvas.addEventListener("pointermove", ev => {
    const [x, y] = point(ev);
    if (drag) {
      drag.moved = drag.moved || Math.hypot(x - drag.x, y - drag.y) > 4;
      if (!drag.moved) return;
      const d = (drag.x - x) / (chart.width - GUTTER) * (drag.u1 - drag.u0);
      view.scroll = drag.scroll + drag.y - y;
      setScale(view, drag.u0 + d, drag.u1 + d);
      return;
    }
    const h = pick(chart, x, y), id = h ? h.e.i : null;
    canvas.style.cursor = h ? "pointer" : "grab";
    tip.hidden = !h;
    if (h) {
      tip.textContent = `${seconds(h.e.t)}  ${h.e.x}`;
      tip.style.left = Math.min(x + 14, chart.width - 330) + "px";
      tip.style.top = (y > chart.height - 90 ? y - 60 : y + 16) + "px";
    }
    if (id !== chart.hover) { chart.hover = id; view.changed(); }
  });
  canvas.addEventListener("pointerup", ev => {
    const [x, y] = point(ev);
    if (drag && !drag.moved) { const h = pick(chart, x, y); select(view, h ? h.e.i : null); }
    drag = null;
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; if (chart.hover !== null) { chart.hover = null; view.changed(); } });
  canvas.addEventListener("wheel", ev => {
    ev.preventDefault();
    const [x] = point(ev), unit = ev.deltaMode ? 30 : 1;
    if (ev.shiftKey || Math.abs(ev.deltaX) > Math.abs(ev.deltaY)) pan(view, (ev.deltaX || ev.deltaY) * unit / (chart.width - GUTTER));
    else if (x < GUTTER) { view.scroll += ev.deltaY * unit; view.changed(); }
    else zoom(view, Math.exp(ev.deltaY * unit * 0.0022), chart.u(x));
  }, { passive: false });
}

function listenToOverview(view, canvas, scale) {
  let drag = false;
  const go = ev => {
    const u = scale(ev.clientX - canvas.getBoundingClientRect().left), half = (view.u1 - view.u0) / 2;
    setScale(view, u - half, u + half);
  };
  canvas.addEventListener("pointerdown", ev => { drag = true; canvas.setPointerCapture(ev.pointerId); go(ev); });
  canvas.addEventListener("pointermove", ev => { if (drag) go(ev); });
  canvas.addEventListener("pointerup", () => { drag = false; });
  canvas.addEventListener("pointercancel", () => { drag = false; });
  canvas.addEventListener("wheel", ev => { ev.preventDefault(); zoom(view, Math.exp(ev.deltaY * 0.0022)); }, { passive: false });
}

function listenToKeys(view, chart) {
  const box = document.getElementById("search"), model = view.model;
  const at = () => view.selected !== null ? view.selected : (model.events.find(e => e.t >= (view.t0 + view.t1) / 2) || model.events[model.events.length - 1]).i;
  const beside = step => { // the event before or after, on the same machine
    const here = model.byId.get(at());
    for (let id = here.i + step; model.byId.has(id); id += step) if (model.byId.get(id).l === here.l && passes(view, model.byId.get(id))) return id;
    return here.i;
  };
  const keys = {
    ArrowLeft: () => pan(view, -0.15), ArrowRight: () => pan(view, 0.15),
    ArrowUp: () => { view.scroll -= 40; view.changed(); }, ArrowDown: () => { view.scroll += 40; view.changed(); },
    "+": () => zoom(view, 0.7), "=": () => zoom(view, 0.7), "-": () => zoom(view, 1 / 0.7), 0: () => showAll(view), f: () => document.getElementById("fold").click(),
    v: () => home(view), Escape: () => select(view, null), Enter: () => select(view, at(), true),
    c: () => { const e = model.byId.get(at()); if (e.c && e.c.length) select(view, e.c[0], true); },
    e: () => { const next = model.effects.get(at()); if (next) select(view, next[0], true); },
    ",": () => select(view, beside(-1), true), ".": () => select(view, beside(1), true),
    n: () => nextHit(view, 1), p: () => nextHit(view, -1), "/": () => box.focus(), "?": () => document.getElementById("help").click(), d: () => document.getElementById("theme").click(),
  };
  window.addEventListener("keydown", ev => {
    if (ev.ctrlKey || ev.metaKey || ev.altKey || ev.target === box) return;
    if ((ev.key === "Enter" || ev.key.startsWith("Arrow")) && ev.target.closest("button, aside")) return;
    if (keys[ev.key]) { ev.preventDefault(); keys[ev.key](); }
  });
  box.addEventListener("input", () => search(view, box.value));
  box.addEventListener("keydown", ev => {
    if (ev.key === "Enter") { ev.preventDefault(); nextHit(view, ev.shiftKey ? -1 : 1); }
    if (ev.key === "Escape") { box.value = ""; search(view, ""); chart.canvas.focus(); }
  });
}

function listenToButtons(view, chart) {
  const on = (id, f) => document.getElementById(id).addEventListener("click", f);
  on("zoom-in", () => zoom(view, 0.6));
  on("zoom-out", () => zoom(view, 1 / 0.6));
  on("fit", () => showAll(view));
  on("fold", () => fold(view, !view.folded));
  on("cause", () => home(view));
  on("help", ev => {
    const legend = document.getElementById("legend");
    legend.hidden = !legend.hidden;
    ev.currentTarget.setAttribute("aria-expanded", String(!legend.hidden));
  });
  on("theme", () => {
    const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    chart.colors = null;
    view.changed();
  });
}

start();
