// The data flow of one block, or the hierarchy of modules. Events: "draw" "png"
import { boxOf } from "./diagram_boxes.js";
import { button, download, h } from "./dom.js";
import { on, oneAtATime, send, whenVisible } from "./page.js";
import { sanitizeSvg } from "./svg_sanitizer.js";

const root = element.querySelector(".diagram-view");
let view = "flow";
let diagram = null;
let picture = null;
let zoom = 1;
let selected = "";
let needsUpdate = false;
let downloaded = null;

const named = (label, name, act) => button(label, act, { "aria-label": name, title: name });
const group = (label, ...buttons) => h("span.group", { role: "group", "aria-label": label }, buttons);
const flow = named("Data flow", "Data flow of the selected block", () => show("flow"));
const modules = named("Modules", "Module hierarchy", () => show("modules"));
const up = named("↑ Up", "Up to the enclosing block", () => goUp());
const trail = h("nav.trail", { "aria-label": "Enclosing blocks" });
const percent = h("span.quiet.percent");
const paper = h("div.paper", { tabindex: "0", role: "region", "aria-label": "Diagram" });
const text = h("pre", { tabindex: "0", "aria-label": "Diagram as text" });
const message = h("p.said", { role: "status" });
const downloadSvg = () => diagram && download(`${diagram.file}.svg`, diagram.svg, "image/svg+xml");
root.append(
  h(
    "div.bar",
    group("View", flow, modules),
    h("span.group", up),
    group(
      "Zoom",
      named("−", "Zoom out (-)", () => scale(zoom / 1.25)),
      percent,
      named("+", "Zoom in (+)", () => scale(zoom * 1.25)),
      named("Fit", "Fit (0)", () => fit()),
    ),
    h(
      "span.group",
      named("SVG", "Download as SVG", downloadSvg),
      named("PNG", "Download as PNG", () => trigger("png", { node: selected, view })),
    ),
  ),
  trail,
  message,
  paper,
  h("details.as-text", h("summary", "Diagram as text"), text),
);

const { ask, done } = oneAtATime(() => {
  if (!diagram) paper.replaceChildren(h("p.quiet", "Drawing …"));
  trigger("draw", { node: selected, view });
});
function show(other) {
  view = other;
  ask();
}
function goUp() {
  const parent = view === "flow" && diagram?.trail.at(-2);
  if (parent) openBlock(parent.path);
}
function openBlock(path) {
  selected = path;
  send("selected", { path, from: "diagram" });
  ask();
}

// -------------------------------------------------------------------------------------- drawing
function draw() {
  const parsed = new DOMParser().parseFromString(diagram.svg, "image/svg+xml").documentElement;
  const svg = parsed.localName === "svg" ? sanitizeSvg(parsed) : null;
  const box = svg?.getAttribute("viewBox")?.split(/\s+/).map(Number);
  if (box?.length !== 4) {
    message.textContent = "This diagram cannot be shown.";
    return;
  }
  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", diagram.title);
  for (const one of diagram.boxes) makeClickable(svg.querySelector(`[data-node="${one.id}"]`), one);
  const key = `${diagram.view} ${diagram.path}`;
  const scroll = picture?.key === key ? [paper.scrollLeft, paper.scrollTop] : null;
  picture = { svg, width: box[2], height: box[3], key };
  paper.replaceChildren(svg);
  if (scroll) {
    scale(zoom);
    [paper.scrollLeft, paper.scrollTop] = scroll;
  } else fit(0.7);
  text.textContent = diagram.text;
  flow.setAttribute("aria-pressed", String(diagram.view === "flow"));
  modules.setAttribute("aria-pressed", String(diagram.view === "modules"));
  up.disabled = diagram.view !== "flow" || diagram.trail.length < 2;
  trail.replaceChildren(...(diagram.view === "modules" ? [] : diagram.trail.map(trailItem)));
  highlight();
}

function trailItem({ path, name, type }, i) {
  const label = name ? `${name}: ${type}` : type;
  const separator = i ? h("span.quiet", { "aria-hidden": "true" }, " › ") : "";
  const isLast = i === diagram.trail.length - 1;
  const open = () => openBlock(path);
  const item = isLast ? h("strong", { "aria-current": "true" }, label) : button(label, open, { class: "link" });
  return h("span", separator, item);
}

function makeClickable(node, { path, line, file, can_open: canOpen, label }) {
  if (!node || (path === null && !line)) return;
  const attributes = { tabindex: "0", role: "button", "aria-label": label + (canOpen ? "; open" : "") };
  if (path !== null) attributes["data-path"] = path;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.classList.add("leads");
  const act = () => {
    if (path === null) send("place", { line, file, focus: false });
    else if (canOpen) openBlock(path);
    else {
      selected = path;
      send("selected", { path, from: "diagram" });
      highlight();
    }
  };
  node.addEventListener("click", act);
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  });
}

function highlight() {
  for (const node of paper.querySelectorAll(".chosen")) node.classList.remove("chosen");
  const box = diagram && boxOf(diagram.boxes, selected);
  const isInside = box && (diagram.view === "modules" || box.path !== diagram.path);
  const node = isInside && paper.querySelector(`[data-node="${box.id}"]`);
  if (!node) return;
  node.classList.add("chosen");
  const at = node.getBoundingClientRect();
  const frame = paper.getBoundingClientRect();
  if (at.left < frame.left || at.right > frame.right) paper.scrollLeft += at.left - frame.left - frame.width / 2;
  if (at.top < frame.top || at.bottom > frame.bottom) paper.scrollTop += at.top - frame.top - frame.height / 2;
}

// ----------------------------------------------------------------------------------------- zoom
function scale(factor, fixedPoint = null) {
  if (!picture) return;
  const before = zoom;
  zoom = Math.max(0.1, Math.min(5, factor));
  picture.svg.setAttribute("width", picture.width * zoom);
  picture.svg.setAttribute("height", picture.height * zoom);
  percent.textContent = `${Math.round(100 * zoom)} %`;
  if (!fixedPoint) return;
  const [x, y] = fixedPoint;
  paper.scrollLeft = (paper.scrollLeft + x) * (zoom / before) - x;
  paper.scrollTop = (paper.scrollTop + y) * (zoom / before) - y;
}
// Fits the picture into the room that there is, but not below a scale at which it can be read.
function fit(minimum = 0) {
  if (!picture) return;
  const width = Math.max(100, paper.clientWidth - 18);
  const height = Math.max(200, 0.62 * window.innerHeight);
  scale(Math.max(minimum, Math.min(width / picture.width, height / picture.height, 1.35)));
}
const onWheel = (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  const { left, top } = paper.getBoundingClientRect();
  scale(zoom * Math.exp(-event.deltaY / 300), [event.clientX - left, event.clientY - top]);
};
paper.addEventListener("wheel", onWheel, { passive: false });
const KEYS = {
  "+": () => scale(zoom * 1.25),
  "=": () => scale(zoom * 1.25),
  "-": () => scale(zoom / 1.25),
  0: () => fit(),
  Backspace: goUp,
};
paper.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});

// -------------------------------------------------------------------------------------- answers
function refresh() {
  const value = props.value;
  if (value?.answer_id === undefined) return;
  if (value.png === undefined) done();
  message.textContent = value.error ?? "";
  if (value.png) savePng(value);
  else if (value.svg === "") {
    diagram = picture = null;
    trail.replaceChildren();
    paper.replaceChildren();
    text.textContent = "";
  } else if (value.svg) {
    diagram = value;
    draw();
  }
}
function savePng(value) {
  if (downloaded === value) return;
  downloaded = value;
  const bytes = Uint8Array.from(atob(value.png), (c) => c.charCodeAt(0));
  download(`${value.file}.png`, bytes, "image/png");
}
function update() {
  if (!needsUpdate || !root.offsetParent) return;
  needsUpdate = false;
  const box = diagram && boxOf(diagram.boxes, selected);
  if (diagram?.view === "modules" || (box?.path === selected && !box.can_open)) highlight();
  else ask();
}
on("selected", ({ path, from }) => {
  if (from === "diagram") return;
  selected = path;
  needsUpdate = true;
  update();
});
new IntersectionObserver(update).observe(root);
watch("value", refresh);
whenVisible(root, ask);
