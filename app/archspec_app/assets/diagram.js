// The whole model on one canvas, of which the library has the script. Event: "draw"
import { h } from "./dom.js";
import { loadScript } from "./framework.js";
import { on, oneAtATime, send, whenVisible } from "./page.js";

const root = element.querySelector(".diagram-view");
const place = h("div");
const message = h("p.said", { role: "status" }, "Drawing …");
root.append(message, place);

let canvas = null;
let selected = "";
let needsSelection = false;
let shown = null;

const { ask, done } = oneAtATime(() => trigger("draw", {}));

async function loadCanvas() {
  await loadScript("canvas.js");
  return globalThis.archspecMountCanvas(place, {
    onSelect: (path) => {
      selected = path;
      send("selected", { path, from: "diagram" });
    },
    onPlace: (file, line) => send("place", { file, line, focus: false }),
  });
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
  message.textContent = value.error ?? "";
  if (value.canvas) canvas.show(value.canvas);
  else if (value.canvas === null) canvas.clear("");
  update();
}

function update() {
  if (!needsSelection || !canvas || !root.offsetParent) return;
  needsSelection = false;
  canvas.select(selected);
}
on("selected", ({ path, from }) => {
  if (from === "diagram" || path === selected) return;
  selected = path;
  needsSelection = true;
  update();
});
new IntersectionObserver(update).observe(root);
watch("value", refresh);
whenVisible(root, ask);
