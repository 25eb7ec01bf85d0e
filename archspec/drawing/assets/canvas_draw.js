// Draws a layout as SVG elements, and saves them as a picture.
import { CHANGES } from "./canvas_changes.js";
import { make } from "./elements.js";

const HEATS = [0.001, 0.01, 0.03, 0.1, 0.3]; // shares of the whole model
export const HEAT_LABELS = ["none", "< 0.1 %", "< 1 %", "< 3 %", "< 10 %", "< 30 %", "≥ 30 %"];

export const heatOf = (value, total) =>
  value && total ? 1 + HEATS.filter((limit) => value / total >= limit).length : 0;

// A smooth line through the points of an arrow.
export function lineThrough(points) {
  const [first, ...rest] = points.map(({ x, y }) => [round(x), round(y)]);
  const parts = [`M${first}`];
  rest.slice(0, -1).forEach(([x, y], i) => {
    const [nextX, nextY] = rest[i + 1];
    const isLast = i === rest.length - 2;
    parts.push(`Q${x},${y} ${isLast ? [nextX, nextY] : [round((x + nextX) / 2), round((y + nextY) / 2)]}`);
  });
  if (rest.length === 1) parts.push(`L${rest[0]}`);
  return parts.join(" ");
}

const round = (number) => Math.round(10 * number) / 10;

// The group of a layout's arrows and boxes. View: "act", called with what was clicked, "paths",
// from the key of a box to its path, "measure", the overlay, the figure of the whole model, and "changeOf", from the
// key of a box to what differs in it.
export function drawLayout(layout, view, prefix = "") {
  const arrows = layout.arrows.map((arrow) => drawArrow(arrow, view, prefix + arrow.key));
  return make(
    "g",
    { role: "group" },
    arrows,
    layout.boxes.map((box) => drawBox(box, view, prefix + box.key)),
  );
}

function drawArrow(arrow, view, key) {
  const isWeight = ["tensor", "constant"].includes(arrow.flow.nodes[arrow.source.members[0]].kind);
  const line = lineThrough(arrow.points);
  return make(
    `g.canvas-arrow${isWeight ? ".weight" : ""}`,
    { "data-arrow": key, onclick: (event) => view.act("arrow", key, event) },
    make("path.reach", { d: line }),
    make("path.line", { d: line, "marker-end": "url(#canvas-head)" }),
    arrow.text && make("text.shape", { x: arrow.x, y: arrow.y + 4, "text-anchor": "middle" }, arrow.text),
  );
}

function colorOf({ node, state, value }, view, change) {
  if (node.kind !== "module" && (node.kind !== "tensor" || change)) return `kind-${node.kind}`;
  if (change) return `change-${change}`;
  return view.overlay === "state"
    ? `state-${(state || node.kind).replaceAll(" ", "-")}`
    : `heat-${heatOf(value, view.total)}`;
}

function drawBox(box, view, key) {
  const { width, height, node, inner } = box;
  const isRound = ["operation", "input", "output"].includes(node.kind);
  const change = view.overlay === "changes" ? view.changeOf(key) : "";
  const kind = colorOf(box, view, change);
  const stack = box.unit.kind !== "one" && make("rect.stack", { x: 4, y: 4, width, height, rx: 3 });
  const said = change && change !== "same" && CHANGES[change];
  const label = [box.title, box.sub, said, box.canOpen && (inner ? "open" : "closed")].filter(Boolean).join(", ");
  const attributes = {
    transform: `translate(${round(box.x)},${round(box.y)})`,
    role: "treeitem",
    tabindex: "-1",
    "aria-label": label,
    "aria-expanded": box.canOpen ? String(Boolean(inner)) : null,
    "data-key": key,
    "data-path": view.paths.get(key),
    onclick: (event) => view.act("box", key, event),
    ondblclick: (event) => view.act("toggle", key, event),
  };
  const shape = make("rect.shape", { width, height, rx: isRound ? 12 : 3 });
  const parts = inner ? openParts(box, view, key) : closedParts(box, view, key);
  return make(`g.canvas-box.${kind}${inner ? ".open" : ""}`, attributes, stack, shape, parts);
}

function closedParts(box, view, key) {
  const { width, height, title, sub } = box;
  const left = 10 + (box.canOpen ? 22 : 0);
  const middle = (width + left - 10) / 2;
  const y = sub ? 18 : height / 2 + 4.5;
  return [
    make("text.name", { x: middle, y, "text-anchor": "middle" }, title),
    sub && make("text.sub", { x: middle, y: 33, "text-anchor": "middle" }, sub),
    box.canOpen && sign("+", 8, height / 2 - 8, key, "toggle", view),
    box.unit.folds && sign("−", width - 8, -8, key, "fold", view),
  ];
}

function openParts(box, view, key) {
  const at = `translate(${round(box.innerX)},${round(box.innerY)})`;
  const inner = drawLayout(box.inner, view, `${key}/`);
  inner.setAttribute("transform", at);
  const name = make("text.name", { x: 32, y: 18 }, box.title);
  const sub = make("text.sub", { x: 40 + view.measure(box.title, true), y: 18 }, box.sub);
  return [
    name,
    sub,
    sign("−", 8, 5, key, "toggle", view),
    box.unit.folds && sign("−", box.width - 8, -8, key, "fold", view),
    inner,
  ];
}

function sign(text, x, y, key, action, view) {
  const names = { "+": "Open", "−": action === "fold" ? "Fold these modules into one box" : "Close" };
  const act = (event) => {
    event.stopPropagation();
    view.act(action, key, event);
  };
  return make(
    "g.sign",
    {
      transform: `translate(${round(x)},${round(y)})`,
      onclick: act,
      "data-action": action,
      ondblclick: (e) => e.stopPropagation(),
    },
    make("title", {}, names[text]),
    make("rect", { width: 16, height: 16, rx: 3 }),
    make("text", { x: 8, y: 12.5, "text-anchor": "middle" }, text),
  );
}

// ------------------------------------------------------------------------------------- pictures

const STYLES = "fill stroke stroke-width stroke-dasharray font-family font-size font-weight opacity".split(" ");

// A drawn group as an SVG file: with its colours, without what the page makes of it.
export function asSvg(group, defs, width, height, background) {
  const margin = 16;
  const copy = styled(group);
  copy.removeAttribute("transform");
  const box = [-margin, -margin, width + 2 * margin, height + 2 * margin];
  const paper = make("rect", { x: box[0], y: box[1], width: box[2], height: box[3], fill: background });
  const svg = make("svg", { viewBox: box.join(" "), width: box[2], height: box[3] }, styled(defs), paper, copy);
  return { text: new XMLSerializer().serializeToString(svg), width: box[2], height: box[3] };
}

function styled(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data;
  if (["sign", "reach"].some((name) => node.classList.contains(name))) return "";
  const copy = make(node.localName);
  for (const { name, value } of node.attributes)
    if (!/^(class|role|tabindex|aria-.*|data-.*)$/.test(name)) copy.setAttribute(name, value);
  const style = getComputedStyle(node);
  for (const name of STYLES) copy.setAttribute(name, style.getPropertyValue(name));
  copy.append(...[...node.childNodes].map(styled));
  return copy;
}

// A bitmap of an SVG file; larger pictures get fewer pixels, as browsers allow only so many.
export async function asPng({ text, width, height }) {
  const scale = Math.min(2, 8000 / Math.max(width, height));
  const address = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = make("canvas", { width: Math.ceil(width * scale), height: Math.ceil(height * scale) });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  } finally {
    URL.revokeObjectURL(address);
  }
}
