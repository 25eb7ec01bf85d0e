// Curves of runs: with the values under the pointer, a part of the steps that is dragged over, and smoothing.
import { inRange, nearestPoint, ranges, scaleTo, smooth, thinOut, ticks } from "./chart_scale.js";
import { button, h } from "./dom.js";
import { formatExact, formatScore } from "./numbers.js";

const [WIDTH, HEIGHT] = [360, 150];
const [LEFT, RIGHT, TOP, BOTTOM] = [52, WIDTH - 8, 8, HEIGHT - 22];
const MIN_DRAG = 8; // less is a click

// What somebody has set for some charts, which are drawn anew while a run goes on: `zoomed` and `pointed` have a range
// and a step for the title of a chart.
export const chartView = () => ({ smoothing: 0, zoomed: new Map(), pointed: new Map() });

// Lines: a name, a kind from "a" to "d", points as [step, value], whether they have dots, and how values are written;
// those without dots are smoothed, unless they are exact.
export function chart(title, lines, view = chartView()) {
  const figure = h("figure");
  const draw = () => figure.replaceChildren(...parts(title, lines, view, draw));
  draw();
  return figure;
}

// A slider that smooths the charts of a view, and draws them anew.
export function smoothingBar(view, draw) {
  const slider = h("input", {
    type: "range",
    min: 0,
    max: 0.98,
    step: 0.02,
    value: view.smoothing,
    "data-act": "smooth",
  });
  slider.addEventListener("input", () => {
    view.smoothing = slider.valueAsNumber;
    draw();
  });
  return h(
    "p.bar",
    h("label.smoothing", "Smoothing ", slider),
    h("span.quiet", "Point at a curve for its values; drag over steps to see only these."),
  );
}

function parts(title, lines, view, draw) {
  const isPoint = ([x, y]) => Number.isFinite(x) && Number.isFinite(y);
  const zoomed = view.zoomed.get(title);
  const curves = lines.map((line) => {
    const raw = inRange(line.points.filter(isPoint), zoomed);
    const points = line.dots || line.isExact || !view.smoothing ? raw : smooth(raw, view.smoothing);
    return { ...line, raw: points === raw ? [] : thinOut(raw), all: points, points: thinOut(points) };
  });
  const points = curves.flatMap((curve) => [...curve.points, ...curve.raw]);
  const keys = curves.map(({ name, kind }) => h("span.key", { class: `key-${kind}` }, name));
  const showAll = () => {
    view.zoomed.delete(title);
    draw();
  };
  const reset = zoomed ? button("All steps", showAll, { class: "link", "aria-label": `All steps of ${title}` }) : "";
  const caption = h("figcaption", title, " ", keys, " ", reset);
  if (!points.length) return [caption, h("p.quiet", "no data yet")];
  const range = ranges(points, zoomed);
  const x = scaleTo(range.x, [LEFT, RIGHT]);
  const y = scaleTo(range.y, [BOTTOM, TOP]);
  const drawn = curves.map(({ kind, points: own, raw, dots }) => [
    raw.length ? polyline(raw, x, y, `curve-${kind} raw`) : "",
    polyline(own, x, y, `curve-${kind}`),
    dots ? own.map((point) => h("circle.dot", { class: `dot-${kind}`, cx: x(point[0]), cy: y(point[1]), r: 3 })) : "",
  ]);
  const grid = ticks(range.y).map(({ value, label }) => [
    h("line.grid", { x1: LEFT, x2: RIGHT, y1: y(value), y2: y(value) }),
    h("text", { x: LEFT - 5, y: y(value) + 4, "text-anchor": "end" }, label),
  ]);
  const ends = [
    zoomed ? h("text", { x: LEFT, y: HEIGHT - 6 }, `step ${formatExact(Math.round(range.x[0]))}`) : "",
    h("text", { x: RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `step ${formatExact(Math.round(range.x[1]))}`),
  ];
  const latest = curves.filter((curve) => curve.all.length);
  const valueOf = ({ all, format = formatScore }, step) => {
    const [, value] = step === null ? all.at(-1) : nearestPoint(all, step);
    return format(value);
  };
  const valuesAt = (step) => latest.map((curve) => `${curve.name} ${valueOf(curve, step)}`);
  const label = `${title}: latest ${valuesAt(null).join(", ")}`;
  const pointer = h("line.pointer", { y1: TOP, y2: BOTTOM, visibility: "hidden" });
  const band = h("rect.band", { y: TOP, height: BOTTOM - TOP, width: 0 });
  const readout = h("p.readout.quiet");
  const svg = h(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    grid,
    ends,
    drawn,
    pointer,
    band,
  );

  function pointAt(step) {
    view.pointed.set(title, step);
    const shown = nearestPoint(
      latest.flatMap((curve) => curve.all),
      step,
    )[0];
    for (const name of ["x1", "x2"]) pointer.setAttribute(name, x(shown).toFixed(1));
    pointer.setAttribute("visibility", "visible");
    readout.textContent = `step ${formatExact(shown)}: ${valuesAt(shown).join(", ")}`;
  }
  function leave() {
    view.pointed.delete(title);
    pointer.setAttribute("visibility", "hidden");
    readout.textContent = "";
  }
  bindPointer(svg, band, {
    stepAt: scaleTo([LEFT, RIGHT], range.x),
    pointAt,
    leave,
    select: (from, to) => {
      view.zoomed.set(title, [from, to]);
      draw();
    },
  });
  if (view.pointed.has(title)) pointAt(view.pointed.get(title));
  else leave();
  return [caption, svg, readout];
}

const polyline = (points, x, y, kind) =>
  h("polyline.curve", {
    class: kind,
    points: points.map((point) => `${x(point[0]).toFixed(1)},${y(point[1]).toFixed(1)}`).join(" "),
  });

function bindPointer(svg, band, { stepAt, pointAt, leave, select }) {
  let start = null;
  const place = ({ clientX }) => {
    const { left, width } = svg.getBoundingClientRect();
    return Math.min(RIGHT, Math.max(LEFT, ((clientX - left) / width) * WIDTH));
  };
  svg.addEventListener("pointerdown", (event) => {
    start = place(event);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    const here = place(event);
    pointAt(stepAt(here));
    if (start === null) return;
    band.setAttribute("x", Math.min(start, here));
    band.setAttribute("width", Math.abs(here - start));
  });
  svg.addEventListener("pointerup", (event) => {
    const [from, to] = [start, place(event)].toSorted((a, b) => a - b);
    start = null;
    band.setAttribute("width", 0);
    if (to - from >= MIN_DRAG) select(stepAt(from), stepAt(to));
  });
  svg.addEventListener("pointerleave", leave);
}
