// The editor, of which the script is loaded by itself. The value is its text; what the server sends, texts and patches,
// comes by itself, so that no key that is pressed meanwhile takes its place. Event: "input"
import { h } from "./dom.js";
import { loadScript } from "./framework.js";
import { on, send } from "./page.js";

const QUIET = 120; // milliseconds without a key, after which the server is told
const AT_MOST = 600;

const root = element.querySelector(".editor-view");
const place = h("div.code-place");
root.append(place);

let mounted = null;
const messages = (window.archspecEditorMessages ??= []);
let revision = null;
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

function applyMessages() {
  while (mounted && messages.length) {
    const message = messages.shift();
    if (message.revision === revision) continue; // it was there before this script, and came again
    revision = message.revision;
    if (message.patch) mounted.applyPatch(message.patch);
    else mounted.setText(message.text, message.spec);
    props.value = mounted.text;
  }
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
  applyMessages();
  send("editor-ready");
}
on("editor-message", applyMessages);
mount();
