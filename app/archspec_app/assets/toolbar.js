// The open spec, actions on it, and how the page stands.
// Events: "open" "upload" "save" "undo" "redo" "python" "sync"
import { addressed, setAddress } from "./address.js";
import { watchState } from "./connection.js";
import { button, download, h, specOptions } from "./dom.js";
import { bindTabs, onSpecToggled, openTab, restoreTabs, showSpec, toggleSpec } from "./navigation.js";
import { changeBy, changes, editor, nextChange, on, send } from "./page.js";
import { bindShortcuts, showShortcuts } from "./shortcuts.js";
import { withUnixLineBreaks } from "./text_edits.js";
import { MAX_UPLOAD, leave, showAtControl, unsaved, withdrawQuestion } from "./work.js";

const percent = (share) => `${Math.round(100 * share)} %`;
const NEW = "untitled.yaml"; // as the server calls a spec that has no name yet
const change = changeBy(trigger);
const root = element.querySelector(".toolbar-view");
const group = (name, ...children) => h(`span.group.${name}`, ...children);

const specs = h("select", { "aria-label": "Spec" });
const dot = h("span.modified", { hidden: true, title: "not saved", role: "img", "aria-label": "Not saved" }, "●");
const upload = h("input.hidden", {
  type: "file",
  accept: ".yaml,.yml",
  tabindex: "-1", // an item of the menu opens it
  "aria-label": "Open a file from this computer",
});
const fileName = h("input", {
  type: "text",
  "aria-label": "Name to save the spec under",
  spellcheck: "false",
  size: 16,
});
const undo = button("↶", () => change("undo"), { "aria-label": "Undo", title: "Undo (Ctrl+Z)" });
const redo = button("↷", () => change("redo"), { "aria-label": "Redo", title: "Redo (Ctrl+Shift+Z)" });
const saveOpen = () => change("save", { spec: fileName.value }, fileName);
const save = button("Save", saveOpen, { class: "save", title: "Save into this folder (Ctrl+S)" });
const specButton = button("Spec", toggleSpec, {
  class: "show-spec",
  "aria-expanded": "false",
  title: "show or hide the spec's text and parameters",
});
onSpecToggled((isOpen) => specButton.setAttribute("aria-expanded", String(isOpen)));
const problems = button("", showProblems, {
  class: "problem-count",
  hidden: true,
  title: "go to the first problem",
});
const state = h("span.state", { role: "status" });
const notice = h("p.notice", { role: "status" });
const activeRuns = button("", () => openTab("train"), {
  class: "active-runs",
  hidden: true,
  title: "training is under way: go to its run",
});

const downloadYaml = () => download(fileName.value.split("/").at(-1) || "spec.yaml", editor.text, "application/yaml");
const reopen = () => change("open", { spec: shownName });
const begin = () => leave(() => change("open", { spec: "" }));
const menu = h(
  "details.menu",
  h("summary", "File"),
  h(
    "div.menu-list",
    button("New", begin),
    button("Open file", () => upload.click()),
    h("span.bar", fileName, button("Save as", saveOpen)),
    button("Reload", reopen, { title: "discard the edits and open the saved version; Undo restores them" }),
    button("Download YAML", downloadYaml),
    button("Download Python", () => change("python"), { title: "the generated PyTorch code" }),
  ),
);
root.append(
  button("archspec", () => send("home"), { class: "brand", title: "start view: models, specs, the example" }),
  group("work.spec", specs, dot),
  group("work", undo, redo),
  group("work", menu, upload, specButton),
  group("work.runs", activeRuns),
  group("status", state, problems),
  group("work.saving", save),
  button("?", showShortcuts, { class: "help", "aria-label": "Keyboard shortcuts", title: "keyboard shortcuts (?)" }),
  notice,
);

specs.addEventListener("change", () => {
  const name = specs.value;
  const stay = () => {
    specs.value = shownName;
  };
  leave(() => change("open", { spec: name }), stay);
});
upload.addEventListener("change", async () => {
  const file = upload.files[0];
  if (!file) return;
  const text = await file.text();
  upload.value = "";
  if (file.size > MAX_UPLOAD) notice.textContent = `${file.name}: more than 1 MB`;
  else leave(() => change("upload", { spec: file.name, text }));
});
menu.addEventListener("click", ({ target }) => {
  if (target.closest("button")) menu.open = false;
});
document.addEventListener("pointerdown", ({ target }) => {
  if (!menu.contains(target)) menu.open = false;
});
menu.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
function showProblems() {
  openTab("yaml");
  send("first-problem");
}
bindShortcuts({ save: saveOpen, undo: () => undo.click(), redo: () => redo.click() });

let shownName = null;
let downloaded = null;
let draft = null;
let instanceId = null;
let syncTimer = null;
let syncedText = null;
let isReloading = false;

// The server has lost this session, as after a restart: reload, which restores it from the draft.
function reloadIfLost(value) {
  const isOther = instanceId !== null && value.instance_id !== instanceId && value.name === NEW;
  instanceId = value.instance_id;
  isReloading = Boolean(isOther && draft);
  if (isReloading) location.reload();
  return isReloading;
}

function storeDraft(value) {
  try {
    sessionStorage.setItem("archspec", JSON.stringify(value));
  } catch {
    notice.textContent = "This text is too long to be kept when the page is reloaded.";
  }
}
const isTyped = () => Boolean(draft && editor.view) && editor.text !== withUnixLineBreaks(draft.text);
window.addEventListener("pagehide", () => {
  if (isTyped()) storeDraft({ ...draft, text: editor.text });
});
window.addEventListener("beforeunload", (event) => {
  if (!isReloading && unsaved.isModified()) event.preventDefault();
});

// Answers may cross what is typed: in the end the server must have the text that is on screen.
function sync(text) {
  const current = editor.text;
  if (!editor.view || current === withUnixLineBreaks(text) || current === syncedText) return;
  syncedText = current;
  trigger("sync");
}
// The spec of the address is opened in place of another, after a question if something would be lost.
function openAddressed() {
  const name = addressed("spec");
  const stay = () => {
    specs.value = shownName;
    setAddress({ spec: shownName });
  };
  leave(() => change("open", { spec: name }), stay);
}
// Back and forward.
window.addEventListener("popstate", () => {
  const name = addressed("spec");
  withdrawQuestion();
  restoreTabs();
  if (addressed("start")) send("home");
  else if (name && name !== shownName) openAddressed();
  else send("work");
});
on("active-runs", ([first, ...others]) => {
  activeRuns.hidden = !first;
  if (!first) return;
  const { computing, evaluating } = first;
  const progress = computing
    ? `frozen part ${percent(computing.share)}`
    : evaluating
      ? `${evaluating.split} ${percent(evaluating.share)}`
      : first.share === null
        ? "starting"
        : first.share === 1
          ? "evaluating"
          : `training ${percent(first.share)}`;
  const name = h("span.name", first.key);
  activeRuns.replaceChildren(name, ` ${progress}${others.length ? ` and ${others.length} more` : ""}`);
});
// What an action said lies over the page, until the next one.
function clearNotice() {
  notice.textContent = "";
}
on("home", clearNotice);
for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, clearNotice, true);
bindTabs();
watchState({ state, getDraft: () => draft, reconnect: () => trigger("sync") });

// A spec that was just opened is in the address; the first time, the tabs are those that the address has.
function drawName(name, hasModel) {
  if (shownName === name) return;
  showSpec(!hasModel || name === NEW); // the text is what there is to see, or to be written
  if (shownName === null) {
    restoreTabs();
    // Loaded at the address of another spec, with a text that is not saved: as after Back.
    if (addressed("spec") && addressed("spec") !== name) setTimeout(openAddressed, 0);
    else setAddress({ spec: name });
  } else if (addressed("spec") !== name) setAddress({ spec: name, module: "", start: "" }, { isStep: true });
  shownName = name;
  fileName.value = /\.ya?ml$/.test(name) ? name : `${name}.yaml`;
}

function draw() {
  const value = props.value;
  if (!value?.names || reloadIfLost(value)) return;
  const { name, names } = value;
  changes.since = null;
  const { control } = changes;
  changes.control = null;
  if (changes.timer !== null) setTimeout(nextChange, 0);
  clearTimeout(syncTimer);
  syncTimer = setTimeout(() => sync(value.draft.text), 1500);
  specs.replaceChildren(...specOptions(names.includes(name) ? names : [name, ...names], name));
  specs.value = name;
  if (!value.is_empty) drawName(name, value.has_model);
  undo.disabled = !value.can_undo;
  redo.disabled = !value.can_redo;
  const isModified = () => !value.is_empty && (value.is_modified || isTyped());
  Object.assign(unsaved, { name, isEmpty: value.is_empty, isModified, save: saveOpen });
  dot.hidden = !isModified();
  save.classList.toggle("changed", isModified());
  problems.hidden = !value.problems;
  problems.textContent = `${value.problems} ${value.problems === 1 ? "problem" : "problems"}`;
  const error = value.is_error ? value.notice : "";
  const isAtControl = showAtControl(control, error);
  notice.textContent = isAtControl ? "" : (value.notice ?? "");
  notice.classList.toggle("wrong", Boolean(error));
  draft = value.draft;
  if (!value.is_empty) storeDraft(draft);
  if (value.download && value.download.id !== downloaded) {
    downloaded = value.download.id;
    download(value.download.name, value.download.text, "text/plain");
  }
  send("answered", { name, error, isEmpty: value.is_empty, problems: value.problems, hasModel: value.has_model });
  send("revision");
}
on("typed", () => {
  dot.hidden = !unsaved.isModified();
  save.classList.toggle("changed", unsaved.isModified());
});
watch("value", draw);
draw();
