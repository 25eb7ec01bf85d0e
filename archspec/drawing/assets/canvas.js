// The whole model on one canvas: blocks open in place; pan, zoom, search, overview, and figures.
import { changeOfAll, CHANGES } from "./canvas_changes.js";
import { asPng, asSvg, drawLayout, HEAT_LABELS } from "./canvas_draw.js";
import { drawOverview } from "./canvas_overview.js";
import { describeArrow, describeBox, describeModel } from "./canvas_details.js";
import { boxesOf, layoutModel, OVERLAYS } from "./canvas_layout.js";
import { locate, modulesOf, openableKeys, ROOT, search } from "./canvas_model.js";
import { make, makeButton } from "./elements.js";
import { graphLibraries } from "./graph_libraries.js";
import { formatExact } from "./numbers.js";

const MAX_HITS = 60;
const MAX_OPEN = 1200; // boxes on screen that "Open all" stops at
const ZOOM = [0.02, 3];
const STATES = ["trainable", "partly frozen", "frozen", "no parameters"];

// Fills an element. Options, all of which may be missing: onSelect(path), onPlace(file, line), and `extra`, a control
// that stands among those of the canvas.
// Returns "show(data)", "select(path)", "clear(message)".
export function mountCanvas(root, { onSelect = () => {}, onPlace = null, extra = null } = {}) {
  let data = null;
  let layout = null;
  let places = new Map(); // key → box and its place
  let selected = null; // { kind: "box", key } or { kind: "arrow", key }
  let transform = graphLibraries.zoomIdentity;
  const state = { open: new Set([ROOT]), unfolded: new Set(), overlay: "state", cache: new Map() };

  // -------------------------------------------------------------------------------------- parts
  const query = make("input", {
    type: "search",
    placeholder: "Search modules (/)",
    "aria-label": "Search modules",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => showHits(),
    onkeydown: (event) => onSearchKey(event),
  });
  const hits = make("div.canvas-hits", { role: "listbox", "aria-label": "Modules found", hidden: "" });
  const overlay = make("select", { "aria-label": "Color by", onchange: () => setOverlay() });
  const percent = make("span.canvas-percent");
  const message = make("p.canvas-message", { role: "status" });
  const defs = make(
    "defs",
    {},
    make(
      "marker",
      { id: "canvas-head", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
      make("path.head", { d: "M0,0 L8,4 L0,8 z" }),
    ),
  );
  const viewport = make("g", { role: "presentation" });
  const svg = make("svg.canvas-svg", { role: "tree", "aria-label": "Model", tabindex: "0" }, defs, viewport);
  const overview = make("svg.canvas-overview", { "aria-hidden": "true" });
  const legend = make("div.canvas-legend");
  const zoomGroup = make(
    "span.canvas-group.canvas-zoom",
    { role: "group", "aria-label": "Zoom" },
    makeButton("−", "Zoom out (-)", () => zoomBy(1 / 1.25)),
    percent,
    makeButton("+", "Zoom in (+)", () => zoomBy(1.25)),
    makeButton("Fit", "Fit (0)", () => fit()),
  );
  const stage = make("div.canvas-stage", {}, svg, legend, overview, zoomGroup);
  const details = make("div.canvas-details", { role: "region", "aria-label": "Selection", tabindex: "0" });
  const bar = make(
    "div.canvas-bar",
    {},
    make("span.canvas-search", {}, query, hits),
    make(
      "span.canvas-group",
      { role: "group", "aria-label": "Blocks" },
      makeButton("Open all", "Open all blocks", () => openAll()),
      makeButton("Close all", "Close all blocks", () => closeAll()),
    ),
    make("label.canvas-overlay", {}, make("span.canvas-label", {}, "Color by"), overlay),
    ...(extra ? [extra] : []),
    make(
      "span.canvas-group",
      { role: "group", "aria-label": "Download" },
      makeButton("SVG", "Download as SVG", () => saveSvg()),
      makeButton("PNG", "Download as PNG", () => savePng()),
    ),
  );
  root.classList.add("canvas-view");
  root.replaceChildren(bar, message, make("div.canvas-body", {}, stage, details));

  const paint = make("canvas").getContext("2d");
  const widths = new Map();
  const family = getComputedStyle(svg).fontFamily;
  function measure(text, isBold) {
    const key = `${isBold}${text}`;
    if (!widths.has(key)) {
      paint.font = `${isBold ? "600 12px" : "11px"} ${family}`;
      widths.set(key, paint.measureText(text).width);
    }
    return widths.get(key);
  }

  // --------------------------------------------------------------------------------- pan and zoom
  const zoomer = graphLibraries
    .zoom()
    .scaleExtent(ZOOM)
    .extent(() => [
      [0, 0],
      [size().width, size().height], // also while the canvas is hidden, when its own size is unknown
    ])
    .on("zoom", (event) => {
      fitAgain = null;
      moved(event.transform);
    });
  const pane = graphLibraries.select(svg).call(zoomer).on("dblclick.zoom", null);
  function moved(to) {
    transform = to;
    viewport.setAttribute("transform", transform);
    percent.textContent = `${Math.round(100 * transform.k)} %`;
    if (layout) drawOverview(overview, layout, transform, size());
  }
  const size = () => ({ width: svg.clientWidth || 600, height: svg.clientHeight || 400 });
  const moveTo = (x, y, k) => pane.call(zoomer.transform, graphLibraries.zoomIdentity.translate(x, y).scale(k));
  const zoomBy = (factor) => pane.call(zoomer.scaleBy, factor);
  function lookAt(x, y, k = transform.k) {
    const { width, height } = size();
    moveTo(width / 2 - x * k, height / 2 - y * k, k);
  }
  function lookWhere(event) {
    if (event.buttons !== 1 || !layout) return;
    const { left, top, width, height } = overview.getBoundingClientRect();
    lookAt(((event.clientX - left) / width) * layout.width, ((event.clientY - top) / height) * layout.height);
  }
  for (const name of ["pointerdown", "pointermove"]) overview.addEventListener(name, lookWhere);
  // Shows all of a part of the canvas, but not smaller than can be read unless it is asked for.
  function frame({ x, y, width, height }, smallest = ZOOM[0]) {
    const room = size();
    room.height -= legend.offsetHeight; // which lies over its foot
    const k = Math.max(smallest, Math.min((room.width - 32) / width, (room.height - 32) / height, 1.2));
    const top = height * k > room.height - 32 ? 16 - y * k : room.height / 2 - (y + height / 2) * k;
    moveTo(room.width / 2 - (x + width / 2) * k, top, k);
  }
  let fitAgain = null; // at another width, as long as nobody has moved the canvas
  function fit(smallest) {
    if (layout) frame({ x: 0, y: 0, ...layout }, smallest);
    fitAgain = layout && (() => fit(smallest));
  }
  function fitBox(key) {
    const place = places.get(key);
    if (place) frame({ x: place.x, y: place.y, width: place.box.width, height: place.box.height }, 0.5);
    fitAgain = () => fitBox(key);
  }

  // -------------------------------------------------------------------------------------- drawing
  function redraw() {
    const focused = svg.contains(document.activeElement) ? document.activeElement.getAttribute("data-key") : null;
    layout = layoutModel(data, state, measure);
    places = new Map([...boxesOf(layout)].map((place) => [place.key, place]));
    const paths = new Map([...places.values()].map(({ key, path }) => [key, path]));
    const total = data.root[OVERLAYS[state.overlay].figure] ?? 0;
    const changeOf = (key) => changeOfAll(data.changes, places.get(key).modules);
    viewport.replaceChildren(drawLayout(layout, { act, measure, paths, overlay: state.overlay, total, changeOf }));
    moved(transform);
    mark();
    drawLegend();
    if (focused) elementOf(focused)?.focus({ preventScroll: true });
  }
  const elementOf = (key) => viewport.querySelector(`[data-key="${CSS.escape(key)}"]`);
  function drawLegend() {
    const shares = HEAT_LABELS.map((name, i) => [name, `heat-${i}`]);
    const [title, entries] = {
      state: ["", STATES.map((name) => [name, `state-${name.replaceAll(" ", "-")}`])],
      changes: ["Compared:", Object.entries(CHANGES).map(([kind, name]) => [name, `change-${kind}`])],
    }[state.overlay] ?? ["Share of the model:", shares];
    const swatches = entries.map(([name, kind]) => make("span", {}, make(`i.canvas-swatch.${kind}`), name));
    legend.replaceChildren(title && make("span", {}, title), ...swatches);
  }

  // Moves the canvas no more than is needed to see a box, or its upper left corner if it is larger.
  function bringIntoSight({ box, x, y }) {
    const { width, height } = size();
    const [left, top] = transform.apply([x, y]);
    const shift = (from, length, room) =>
      length > room - 32 || from < 16 ? 16 - from : Math.min(0, room - 16 - from - length);
    const [right, down] = [shift(left, box.width * transform.k, width), shift(top, box.height * transform.k, height)];
    moveTo(transform.x + right, transform.y + down, transform.k);
  }
  // Redraws such that a box stays where it is on screen.
  function redrawAround(key, former = key) {
    const before = places.get(former);
    redraw();
    const after = places.get(key);
    if (before && after)
      moveTo(
        transform.x + (before.x - after.x) * transform.k,
        transform.y + (before.y - after.y) * transform.k,
        transform.k,
      );
  }

  // ------------------------------------------------------------------------------------- selection
  function mark() {
    for (const node of viewport.querySelectorAll(".chosen")) node.classList.remove("chosen");
    const attribute = selected?.kind === "arrow" ? "data-arrow" : "data-key";
    const node = selected && viewport.querySelector(`[${attribute}="${CSS.escape(selected.key)}"]`);
    node?.classList.add("chosen");
    const place = selected?.kind === "box" ? places.get(selected.key) : null;
    const arrow = selected?.kind === "arrow" ? arrowWith(layout, selected.key) : null;
    const content = place
      ? describeBox(data, place, onPlace)
      : arrow
        ? describeArrow(data, arrow)
        : describeModel(data);
    details.replaceChildren(...content);
    for (const box of viewport.querySelectorAll('[tabindex="0"]')) box.setAttribute("tabindex", "-1");
    (place ? elementOf(selected.key) : null)?.setAttribute("tabindex", "0");
  }
  function arrowWith(inside, key) {
    const found = inside.arrows.find((arrow) => arrow.key === key);
    if (found) return found;
    const around = inside.boxes.find((box) => box.inner && key.startsWith(`${box.key}/`));
    return around ? arrowWith(around.inner, key.slice(around.key.length + 1)) : null;
  }
  function choose(kind, key, path = null) {
    selected = { kind, key };
    mark();
    if (path !== null) onSelect(path);
  }
  function act(action, key, event) {
    event.stopPropagation();
    if (action === "arrow") choose("arrow", key);
    else if (action === "box") {
      choose("box", key, places.get(key).path);
      elementOf(key)?.focus({ preventScroll: true });
    } else if (action === "toggle") toggle(places.get(key));
    else fold(key);
  }
  svg.addEventListener("click", () => {
    selected = null;
    mark();
  });

  // ------------------------------------------------------------------------------ opening and closing
  function toggle({ box, key, x, y }) {
    if (!box.canOpen) return;
    const keys = box.unit.kind === "one" ? state.open : state.unfolded;
    if (!keys.delete(key)) keys.add(key);
    redrawAround(key);
    if (places.has(key)) {
      bringIntoSight(places.get(key));
      return;
    }
    // The group is gone: its first part takes its place.
    const part = [...places.values()].find((place) => groupOf(place) === key);
    moveTo(transform.x + (x - part.x) * transform.k, transform.y + (y - part.y) * transform.k, transform.k);
    choose("box", part.key, part.path);
    elementOf(part.key)?.focus({ preventScroll: true });
  }
  const groupOf = ({ box, key }) => box.unit.folds && key.slice(0, key.length - box.key.length) + box.unit.folds;
  function fold(key) {
    const group = groupOf(places.get(key));
    state.unfolded.delete(group);
    if (selected?.key === key) selected.key = group;
    redrawAround(group, key);
  }
  function openAll() {
    const { open, isCut } = openableKeys(data, state.unfolded, MAX_OPEN);
    state.open = open;
    const most = formatExact(MAX_OPEN);
    message.textContent = isCut
      ? `The outer blocks are open: with the inner ones, there would be more than ${most} boxes.`
      : "";
    redraw();
    fit(0.2);
  }
  function closeAll() {
    state.open = new Set([ROOT]);
    state.unfolded.clear();
    message.textContent = "";
    redraw();
    fit();
  }
  function setOverlay() {
    state.overlay = overlay.value;
    redraw();
  }
  // Differences can be chosen where there is another spec, and are what is shown once there is one.
  function offerOverlays(former) {
    const { changes } = data;
    if (changes && !former) state.overlay = "changes";
    else if (!changes && state.overlay === "changes") state.overlay = "state";
    const offered = Object.entries(OVERLAYS).filter(([name]) => name !== "changes" || changes);
    const labels = { changes: `Difference from ${changes?.against}` };
    overlay.replaceChildren(
      ...offered.map(([name, { label }]) => make("option", { value: name }, labels[name] ?? label)),
    );
    overlay.value = state.overlay;
  }

  // --------------------------------------------------------------------------------------- search
  function showHits() {
    const found = data ? search(data, query.value, MAX_HITS) : { hits: [], count: 0 };
    const items = found.hits.map(({ path, type }) =>
      make(
        "button",
        { type: "button", role: "option", onclick: () => goTo(path) },
        make("b", {}, path),
        make("span", {}, type),
      ),
    );
    const more = found.count > items.length ? `${formatExact(found.count)} found; the first ${MAX_HITS} are shown` : "";
    const none = query.value.trim() && !items.length ? "No module has this in its path or type" : "";
    hits.replaceChildren(...items, make("p", {}, more || none));
    hits.hidden = !query.value.trim();
  }
  function onSearchKey(event) {
    if (event.key === "Escape") query.value = "";
    if (event.key === "Escape") showHits();
    if (event.key === "ArrowDown") hits.querySelector("button")?.focus();
    if (event.key === "Enter") hits.querySelector("button")?.click();
  }
  hits.addEventListener("keydown", (event) => {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = document.activeElement[step];
    (next?.matches("button") ? next : step === "previousElementSibling" ? query : null)?.focus();
  });
  root.addEventListener("focusout", (event) => {
    if (!bar.querySelector(".canvas-search").contains(event.relatedTarget)) hits.hidden = true;
  });
  query.addEventListener("focus", showHits);
  function goTo(path) {
    hits.hidden = true;
    reveal(path);
    onSelect(path);
    elementOf(selected.key)?.focus({ preventScroll: true });
  }
  // Opens what is around a module, selects it, and brings it into sight.
  function reveal(path) {
    const { key, open, unfolded } = locate(data, path);
    for (const one of open) state.open.add(one);
    for (const one of unfolded) state.unfolded.add(one);
    selected = { kind: "box", key };
    redraw();
    fitBox(key);
  }

  // -------------------------------------------------------------------------------------- keyboard
  const KEYS = {
    "+": () => zoomBy(1.25),
    "=": () => zoomBy(1.25),
    "-": () => zoomBy(1 / 1.25),
    0: fit,
    "/": () => query.focus(),
    Enter: () => withSelected(toggle),
    " ": () => withSelected(toggle),
    Backspace: () => toParent(),
    Escape: () => toParent(),
    ArrowUp: () => moveAlong(0, -1),
    ArrowDown: () => moveAlong(0, 1),
    ArrowLeft: () => moveAlong(-1, 0),
    ArrowRight: () => moveAlong(1, 0),
  };
  svg.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !layout || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  function withSelected(use) {
    const place = selected?.kind === "box" ? places.get(selected.key) : null;
    if (place) use(place);
  }
  function toParent() {
    withSelected(({ key }) => {
      const around = [...places.values()].filter((other) => other.box.inner && key.startsWith(`${other.key}/`));
      if (around.length) moveFocus(around.at(-1));
    });
  }
  // The nearest box in a direction, as one sees it.
  function moveAlong(right, down) {
    const from = places.get(selected?.key);
    if (!from) return moveFocus(places.get(ROOT));
    const middle = ({ box, x, y }) => [x + box.width / 2, y + (box.inner ? 13 : box.height / 2)];
    const [x, y] = middle(from);
    let best = null;
    for (const place of places.values()) {
      const [otherX, otherY] = middle(place);
      const along = (otherX - x) * right + (otherY - y) * down;
      const aside = Math.abs((otherX - x) * down) + Math.abs((otherY - y) * right);
      const distance = along + 2 * aside;
      if (along > 4 && distance < (best?.distance ?? Infinity)) best = { place, distance };
    }
    return best && moveFocus(best.place);
  }
  function moveFocus({ box, key, path, x, y }) {
    choose("box", key, path);
    elementOf(key)?.focus({ preventScroll: true });
    const { width, height } = size();
    const [left, top] = transform.apply([x, y]);
    const isSeen = left > 0 && top > 0 && left + 60 < width && top + 30 < height;
    if (!isSeen) lookAt(x + Math.min(box.width, 300) / 2, y + Math.min(box.height, 200) / 2);
  }

  // ------------------------------------------------------------------------------------- downloads
  const picture = () => asSvg(viewport, defs, layout.width, layout.height, getComputedStyle(stage).backgroundColor);
  function saveSvg() {
    if (layout) save(`${data.spec}.svg`, new Blob([picture().text], { type: "image/svg+xml" }));
  }
  async function savePng() {
    if (layout) save(`${data.spec}.png`, await asPng(picture()));
  }
  function save(name, blob) {
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // ----------------------------------------------------------------------------------------- data
  function show(value) {
    const isNew = data?.spec !== value.spec || data.root.type !== value.root.type;
    const former = data?.changes;
    data = value;
    offerOverlays(former);
    state.cache.clear();
    message.textContent = "";
    if (isNew) {
      state.open = new Set([ROOT]);
      state.unfolded.clear();
      selected = null;
      const few = [...modulesOf(data)].length <= 12; // so small a model is seen whole at once
      if (few) for (const { path } of modulesOf(data)) for (const key of locate(data, path).open) state.open.add(key);
    }
    redraw();
    if (isNew) fit(0.5);
  }
  function clear(text) {
    message.textContent = text;
    data = layout = selected = null;
    viewport.replaceChildren();
    overview.replaceChildren();
    details.replaceChildren();
    legend.replaceChildren();
  }
  const select = (path) => data && reveal(path);
  new ResizeObserver(() => (fitAgain ? fitAgain() : layout && moved(transform))).observe(svg);
  const setRoom = ([{ contentRect }]) => {
    root.classList.toggle("narrow", contentRect.width < 640);
    root.classList.toggle("tiny", contentRect.width < 480);
  };
  new ResizeObserver(setRoom).observe(root);
  return { show, select, clear, say: (text) => (message.textContent = text) };
}
