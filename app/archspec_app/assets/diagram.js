// The whole model on one canvas, of which the library has the script. Event: "draw"
import { h, option, specOptions } from "./dom.js";
import { loadScript } from "./framework.js";
import { onLatest, oneAtATime, send, whenVisible } from "./page.js";

const root = element.querySelector(".diagram-view");
const place = h("div");
const message = h("p.said", { role: "status" }, "Drawing …");
const against = h("select", { "aria-label": "Compare with" });
const compare = h("label.canvas-overlay", { hidden: true }, h("span.canvas-label", "Compare with"), against);
root.append(message, place);

let canvas = null;
let selected = "";
let needsSelection = false;
let shown = null;
let chosen = ""; // the spec to compare with
let open = null;

const { ask, done } = oneAtATime(() => trigger("draw", { against: chosen }));
against.addEventListener("change", () => {
  chosen = against.value;
  message.textContent = chosen ? "Comparing …" : "";
  ask();
});

async function loadCanvas() {
  await loadScript("canvas.js");
  return globalThis.archspecMountCanvas(place, {
    extra: compare,
    onSelect: (path) => {
      selected = path;
      send("selected", { path, from: "diagram" });
    },
    onPlace: (file, line) => send("place", { file, line, focus: false }),
  });
}

// What the model can be compared with. Another spec that is opened is compared with nothing at first.
function offer(value) {
  if (value.open !== open && open !== null && chosen) {
    chosen = "";
    ask();
  }
  open = value.open;
  const saved = value.has_saved ? option("@saved", chosen, `${open}, as saved`) : "";
  against.replaceChildren(option("", chosen, "no other spec"), saved, ...specOptions(value.names, chosen));
  compare.hidden = false;
}

async function refresh() {
  const value = props.value;
  if (value?.answer_id === undefined || shown === value.answer_id) return;
  shown = value.answer_id;
  done();
  try {
    canvas ??= await loadCanvas();
  } catch {
    message.textContent = "The canvas could not be loaded; load the page anew.";
    return;
  }
  message.textContent = value.error ?? value.problem ?? "";
  if (value.names) offer(value);
  if (value.canvas) canvas.show(value.canvas);
  else if (value.canvas === null) canvas.clear("");
  update();
}

function update() {
  if (!needsSelection || !canvas || !root.offsetParent) return;
  needsSelection = false;
  canvas.select(selected);
}
onLatest("selected", ({ path, from }) => {
  if (from === "diagram" || path === selected) return;
  selected = path;
  needsSelection = true;
  update();
});
new IntersectionObserver(update).observe(root);
watch("value", refresh);
whenVisible(root, ask);
