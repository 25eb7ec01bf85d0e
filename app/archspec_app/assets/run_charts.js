// Curves of runs.
import { ranges, scaleTo, thinOut, ticks } from "./chart_scale.js";
import { h } from "./dom.js";
import { formatExact, formatScore } from "./numbers.js";

// Lines: a name, a kind from "a" to "d", points as [step, value], and whether they have dots.
export function chart(title, lines) {
  const [width, height] = [360, 150];
  const [left, right, top, bottom] = [52, width - 8, 8, height - 22];
  const isPoint = ([x, y]) => Number.isFinite(x) && Number.isFinite(y);
  const curves = lines.map((line) => ({ ...line, points: thinOut(line.points.filter(isPoint)) }));
  const points = curves.flatMap((curve) => curve.points);
  const keys = curves.map(({ name, kind }) => h("span.key", { class: `key-${kind}` }, name));
  const caption = h("figcaption", title, " ", keys);
  if (!points.length) return h("figure", caption, h("p.quiet", "no data yet"));
  const range = ranges(points);
  const x = scaleTo(range.x, [left, right]);
  const y = scaleTo(range.y, [bottom, top]);
  const latest = curves.filter((curve) => curve.points.length);
  const values = latest.map((curve) => `${curve.name} ${formatScore(curve.points.at(-1)[1])}`).join(", ");
  const grid = ticks(range.y).map(({ value, label }) => [
    h("line.grid", { x1: left, x2: right, y1: y(value), y2: y(value) }),
    h("text", { x: left - 5, y: y(value) + 4, "text-anchor": "end" }, label),
  ]);
  const lastStep = h("text", { x: right, y: height - 6, "text-anchor": "end" }, `step ${formatExact(range.x[1])}`);
  const drawn = curves.map(({ kind, points: own, dots }) => [
    h("polyline.curve", {
      class: `curve-${kind}`,
      points: own.map((point) => `${x(point[0]).toFixed(1)},${y(point[1]).toFixed(1)}`).join(" "),
    }),
    dots ? own.map((point) => h("circle.dot", { class: `dot-${kind}`, cx: x(point[0]), cy: y(point[1]), r: 3 })) : "",
  ]);
  const attributes = { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: latest ${values}` };
  return h("figure", caption, h("svg", attributes, grid, lastStep, drawn));
}
