// The data flow of one block, or the hierarchy of modules. Events: "draw" "png"
const root = element.querySelector(".diagram-view");
const SVG = "http://www.w3.org/2000/svg";
const NUMBER = /^[-+.\deE]+(pt)?$/, NUMBERS = /^[-+.,\s\deE]*$/, PAINT = /^(#[\da-f]{3,8}|none|transparent|[a-z]{1,20})$/i, WORD = /^[\w ,-]*$/;
const PAINTS = { fill: PAINT, stroke: PAINT, "stroke-width": NUMBER, "stroke-dasharray": NUMBERS, opacity: NUMBER };
const TAGS = {
  svg: { viewBox: NUMBERS },
  g: { class: /^(graph|node|edge|cluster)$/, transform: /^[a-z\d\s(),.+-]*$/i, "data-node": /^n\d+$/ },
  a: {}, title: {}, polygon: { points: NUMBERS }, polyline: { points: NUMBERS }, path: { d: /^[-+.,\s\deEMLCZmlczHVhvSsQqAaTt]*$/ },
  ellipse: { cx: NUMBER, cy: NUMBER, rx: NUMBER, ry: NUMBER },
  text: { x: NUMBER, y: NUMBER, "text-anchor": WORD, "font-family": WORD, "font-size": NUMBER, "font-weight": WORD },
};

// What Graphviz made holds names of strangers: only shapes and texts of it are built anew.
function rebuilt(given) {
  if (given.nodeType === Node.TEXT_NODE) return document.createTextNode(given.data);
  const known = given.nodeType === Node.ELEMENT_NODE && given.namespaceURI === SVG ? TAGS[given.localName] : undefined;
  if (!known) return null;
  const made = document.createElementNS(SVG, given.localName === "a" ? "g" : given.localName);
  for (const [name, allowed] of Object.entries({ ...known, ...PAINTS })) {
    const value = given.getAttribute(name);
    if (value !== null && allowed.test(value)) made.setAttribute(name, value);
  }
  for (const child of given.childNodes) {
    const below = rebuilt(child);
    if (below) made.append(below);
  }
  return made;
}

let kind = "flow", found = null, picture = null, zoom = 1, selected = "", wanted = false, delivered = null;
const button = (label, name, act, more = {}) => h("button", { type: "button", "aria-label": name, title: name, onclick: act, ...more }, label);
const flow = button("Data flow", "Data flow of the selected block", () => show("flow"));
const modules = button("Modules", "Hierarchy of modules", () => show("modules"));
const up = button("↑ Up", "Up to the block around", () => rise());
const trail = h("nav", { class: "trail", "aria-label": "Blocks around" });
const percent = h("span", { class: "quiet percent" });
const paper = h("div", { class: "paper", tabindex: "0", role: "region", "aria-label": "Drawing" });
const text = h("pre", { tabindex: "0", "aria-label": "The drawing as text" });
const said = h("p", { class: "said", role: "status" });
root.append(
  h("div", { class: "bar" },
    h("span", { class: "group", role: "group", "aria-label": "What is drawn" }, flow, modules),
    h("span", { class: "group" }, up),
    h("span", { class: "group", role: "group", "aria-label": "Zoom" }, button("−", "Smaller (-)", () => scale(zoom / 1.25)), percent,
      button("+", "Larger (+)", () => scale(zoom * 1.25)), button("Fit", "Fit (0)", () => fit())),
    h("span", { class: "group" },
      button("SVG", "Download the drawing as SVG", () => found && download(`${found.file}.svg`, found.svg, "image/svg+xml")),
      button("PNG", "Download the drawing as PNG", () => trigger("png", { node: selected, view: kind })))),
  trail, said, paper,
  h("details", { class: "as-text" }, h("summary", {}, "The drawing as text"), text));

const { ask, done } = oneAtATime(() => {
  if (!found) paper.replaceChildren(h("p", { class: "quiet" }, "Drawing …"));
  trigger("draw", { node: selected, view: kind });
});
function show(other) { kind = other; ask(); }
function rise() {
  const above = kind === "flow" && found?.trail.at(-2);
  if (above) choose(above.path);
}
// To select is to look inside, where there is an inside; the tree and the editor follow.
function choose(path) {
  selected = path;
  tell("selected", { path, from: "diagram" });
  ask();
}

// ------------------------------------------------------------------------------------ which box
const above = (path) => path.split(".").slice(0, -1).join(".");
function covers(box, path) {
  if (box.path === null) return false;
  if (box.path === path) return true;
  const [first, one] = [box.path, path].map((p) => Number(p.split(".").at(-1)));
  return box.times > 1 && above(box.path) === above(path) && one >= first && one < first + box.times;
}
// The box of a module, or of the nearest module around it; equal modules share the box of the first.
function boxOf(path) {
  let at = "", hit = found.boxes.find((box) => box.path === "") ?? null;
  for (const name of path ? path.split(".") : []) {
    at = at ? `${at}.${name}` : name;
    const box = found.boxes.find((one) => covers(one, at));
    if (box) { hit = box; at = box.path; }
  }
  return hit;
}

// -------------------------------------------------------------------------------------- drawing
function draw() {
  const parsed = new DOMParser().parseFromString(found.svg, "image/svg+xml").documentElement;
  const made = parsed.localName === "svg" ? rebuilt(parsed) : null;
  const box = made?.getAttribute("viewBox")?.split(/\s+/).map(Number);
  if (!box || box.length !== 4) { said.textContent = "This drawing cannot be shown."; return; }
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", found.title);
  for (const one of found.boxes) dress(made.querySelector(`[data-node="${one.id}"]`), one);
  const before = picture?.title === `${found.view} ${found.path}` ? [paper.scrollLeft, paper.scrollTop] : null;
  picture = { svg: made, width: box[2], height: box[3], title: `${found.view} ${found.path}` };
  paper.replaceChildren(made);
  if (before) { scale(zoom); [paper.scrollLeft, paper.scrollTop] = before; } else fit(0.7);
  text.textContent = found.text;
  flow.setAttribute("aria-pressed", String(found.view === "flow"));
  modules.setAttribute("aria-pressed", String(found.view === "modules"));
  up.disabled = found.view !== "flow" || found.trail.length < 2;
  trail.replaceChildren(...(found.view === "modules" ? [] : found.trail.map((one, i) => {
    const label = one.name ? `${one.name}: ${one.type}` : one.type, last = i === found.trail.length - 1;
    return h("span", {}, i ? h("span", { class: "quiet", "aria-hidden": "true" }, " › ") : "",
      last ? h("strong", { "aria-current": "true" }, label) : h("button", { type: "button", class: "link", onclick: () => choose(one.path) }, label));
  })));
  highlight();
}
function dress(group, box) {
  const leads = box.path !== null || box.line;
  if (!group || !leads) return;
  group.classList.add("leads");
  group.setAttribute("tabindex", "0");
  group.setAttribute("role", "button");
  group.setAttribute("aria-label", box.label + (box.down ? "; look inside" : ""));
  if (box.path !== null) group.setAttribute("data-path", box.path);
  const act = () => {
    if (box.path === null) return tell("place", { line: box.line, file: box.file, focus: false });
    if (box.down) return choose(box.path);
    selected = box.path;
    tell("selected", { path: box.path, from: "diagram" });
    highlight();
  };
  group.addEventListener("click", act);
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  });
}
function highlight() {
  for (const one of paper.querySelectorAll(".chosen")) one.classList.remove("chosen");
  const box = found && boxOf(selected), inside = box && (found.view === "modules" || (box.path !== found.path));
  const group = inside && paper.querySelector(`[data-node="${box.id}"]`);
  if (!group) return;
  group.classList.add("chosen");
  const at = group.getBoundingClientRect(), room = paper.getBoundingClientRect();
  if (at.left < room.left || at.right > room.right) paper.scrollLeft += at.left - room.left - room.width / 2;
  if (at.top < room.top || at.bottom > room.bottom) paper.scrollTop += at.top - room.top - room.height / 2;
}

// ----------------------------------------------------------------------------------------- zoom
function scale(wish, at = null) {
  if (!picture) return;
  const before = zoom;
  zoom = Math.max(0.1, Math.min(5, wish));
  picture.svg.setAttribute("width", picture.width * zoom);
  picture.svg.setAttribute("height", picture.height * zoom);
  percent.textContent = `${Math.round(100 * zoom)} %`;
  if (!at) return;
  paper.scrollLeft = (paper.scrollLeft + at[0]) * (zoom / before) - at[0];
  paper.scrollTop = (paper.scrollTop + at[1]) * (zoom / before) - at[1];
}
// As much as there is room for; at first no smaller than what can be read.
function fit(least = 0) {
  if (!picture) return;
  const room = Math.max(100, paper.clientWidth - 18), height = Math.max(200, 0.62 * window.innerHeight);
  scale(Math.max(least, Math.min(room / picture.width, height / picture.height, 1.35)));
}
paper.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  const place = paper.getBoundingClientRect();
  scale(zoom * Math.exp(-event.deltaY / 300), [event.clientX - place.left, event.clientY - place.top]);
}, { passive: false });
paper.addEventListener("keydown", (event) => {
  const keys = { "+": () => scale(zoom * 1.25), "=": () => scale(zoom * 1.25), "-": () => scale(zoom / 1.25), 0: () => fit(), Backspace: rise };
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
});

// -------------------------------------------------------------------------------------- answers
function refresh() {
  const value = props.value;
  if (value?.turn === undefined) return;
  if (value.png === undefined) done();
  said.textContent = value.error ?? "";
  if (value.png) return save(value);
  if (value.svg === "") { found = picture = null; trail.replaceChildren(); paper.replaceChildren(); text.textContent = ""; }
  if (!value.svg) return;
  found = value;
  draw();
}
function save(value) {
  if (delivered === value) return;
  delivered = value;
  const bytes = Uint8Array.from(atob(value.png), (c) => c.charCodeAt(0));
  download(`${value.file}.png`, bytes, "image/png");
}
function look() {
  if (!wanted || !root.offsetParent) return;
  wanted = false;
  const box = found && boxOf(selected);
  if (found?.view === "modules" || (box && box.path === selected && !box.down)) highlight();
  else ask();
}
on("selected", ({ path, from }) => {
  if (from === "diagram") return;
  selected = path;
  wanted = true;
  look();
});
new IntersectionObserver(look).observe(root);
watch("value", refresh);
whenSeen(root, ask);
