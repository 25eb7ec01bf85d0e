// The editor, of which the script is loaded by itself. The value is its text; from the server come texts and patches of
// it. Event: "input"
import { h } from "./dom.js";
import { loadScript } from "./framework.js";
import { send } from "./page.js";

const QUIET = 120; // milliseconds without a key, after which the server is told
const AT_MOST = 600;

const root = element.querySelector(".editor-view");
const place = h("div.code-place");
root.append(place);

let mounted = null;
const pending = [];
let timer = null;
let typedSince = null;

function tell() {
  timer = typedSince = null;
  trigger("input");
}
function changed(text, isTyped) {
  props.value = text;
  if (!isTyped) return;
  typedSince ??= Date.now();
  clearTimeout(timer);
  timer = setTimeout(tell, Math.max(0, Math.min(QUIET, typedSince + AT_MOST - Date.now())));
}

function applyPending() {
  while (mounted && pending.length) {
    const { text, spec, patch } = pending.shift();
    if (patch) mounted.applyPatch(patch);
    else mounted.setText(text, spec);
    props.value = mounted.text;
  }
}
function receive() {
  const message = props.value;
  if (message?.revision === undefined) return; // the text itself
  pending.push(message);
  applyPending();
}

async function mount() {
  try {
    await loadScript("editor.js");
  } catch {
    place.replaceChildren(h("p.notice.wrong", "The editor could not be loaded; load the page anew."));
    return;
  }
  mounted = globalThis.archspecMountEditor(place, { onChange: changed });
  window.archspecEditor = mounted;
  applyPending();
  send("editor-ready");
}
watch("value", receive);
receive();
mount();
