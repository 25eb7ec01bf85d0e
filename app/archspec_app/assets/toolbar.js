// The open spec, and actions on it.
// Events: "open" "upload" "save" "undo" "redo" "python" "plan" "save_plan" "sync"
import { button, download, h, option, specOptions } from "./dom.js";
import { change, changes, editor, nextChange, send } from "./page.js";
import { withUnixLineBreaks } from "./text_edits.js";

const root = element.querySelector(".toolbar-view");
const MAX_UPLOAD = 1000000;
const textInput = (label, size, attributes = {}) =>
  h("input", { type: "text", "aria-label": label, spellcheck: "false", size, ...attributes });

const specs = h("select", { "aria-label": "Spec" });
const upload = h("input.hidden", {
  type: "file",
  accept: ".yaml,.yml",
  "aria-label": "Open a file from this computer",
});
const plans = h("select", { "aria-label": "Freeze plan" });
const planName = textInput("Name for the plan", "12", { placeholder: "plan name" });
const fileName = textInput("Name to save the spec under", "16");
const undo = button("Undo", () => change("undo"));
const redo = button("Redo", () => change("redo"));
const notice = h("p.notice", { role: "status" });

const downloadYaml = () => download(fileName.value.split("/").at(-1) || "spec.yaml", editor.text, "application/yaml");
const group = (...children) => h("span.group", ...children);
root.append(
  group(h("span.brand", "archspec")),
  group(
    specs,
    button("New", () => change("open", { spec: "" })),
    button("Open file", () => upload.click()),
    upload,
  ),
  group(undo, redo),
  group(
    fileName,
    button("Save", () => change("save", { spec: fileName.value })),
    button("Reload", () => change("open", { spec: shownName }), {
      title: "discard the edits and open the saved version; Undo restores them",
    }),
  ),
  group(
    button("Download YAML", downloadYaml),
    button("Download Python", () => change("python"), { title: "the generated PyTorch code" }),
  ),
  group(
    h("label.inline", "Plan ", plans),
    planName,
    button("Save plan", () => change("save_plan", { plan: planName.value })),
  ),
  notice,
);
specs.addEventListener("change", () => change("open", { spec: specs.value }));
plans.addEventListener("change", () => change("plan", { plan: plans.value }));
upload.addEventListener("change", async () => {
  const file = upload.files[0];
  if (!file) return;
  if (file.size > MAX_UPLOAD) {
    notice.textContent = `${file.name}: more than 1 MB`;
    return;
  }
  change("upload", { spec: file.name, text: await file.text() });
  upload.value = "";
});

let shownName = null;
let downloaded = null;
let draft = null;
let instanceId = null;
let syncTimer = null;
let syncedText = null;

// The server has lost this session, as after a restart: reload, which restores it from the draft.
function reloadIfLost(value) {
  const isOther = instanceId !== null && value.instance_id !== instanceId && value.name === "untitled.yaml";
  instanceId = value.instance_id;
  if (isOther && draft) location.reload();
  return isOther && draft;
}

function storeDraft(value) {
  try {
    sessionStorage.setItem("archspec", JSON.stringify(value));
  } catch {
    notice.textContent = "This text is too long to be kept when the page is reloaded.";
  }
}
window.addEventListener("pagehide", () => {
  const isNewer = draft && editor.view && editor.text !== withUnixLineBreaks(draft.text);
  if (isNewer) storeDraft({ ...draft, text: editor.text });
});

// Answers may cross what is typed: in the end the server must have the text that is on screen.
function sync(text) {
  const current = editor.text;
  if (!editor.view || current === withUnixLineBreaks(text) || current === syncedText) return;
  syncedText = current;
  trigger("sync");
}

function draw() {
  const value = props.value;
  if (!value?.names || reloadIfLost(value)) return;
  const { name, names } = value;
  if (changes.timer !== null) setTimeout(nextChange, 0);
  clearTimeout(syncTimer);
  syncTimer = setTimeout(() => sync(value.draft.text), 1500);
  specs.replaceChildren(...specOptions(names.includes(name) ? names : [name, ...names], name));
  specs.value = name;
  plans.replaceChildren(option("", null, "nothing frozen"), ...value.plans.map((plan) => option(plan)));
  plans.value = value.plan ?? "";
  if (shownName !== name) {
    shownName = name;
    fileName.value = /\.ya?ml$/.test(name) ? name : `${name}.yaml`;
  }
  undo.disabled = !value.can_undo;
  redo.disabled = !value.can_redo;
  notice.textContent = value.notice ?? "";
  notice.classList.toggle("wrong", Boolean(value.is_error));
  send("revision");
  draft = value.draft;
  storeDraft(draft);
  if (value.download && value.download.id !== downloaded) {
    downloaded = value.download.id;
    download(value.download.name, value.download.text, "text/plain");
  }
}
watch("value", draw);
draw();
