// Keys that work anywhere on the page, and the list of all keys.
import { button, h } from "./dom.js";

const LIST = [
  ["Ctrl+S", "save the spec"],
  ["Ctrl+Z, Ctrl+Shift+Z", "undo and redo: text, toggles, plans, forms"],
  ["/", "search: models on the start view, modules in the tree"],
  ["← →", "on a tab: the tab beside it"],
  ["↑ ↓ ← →", "in the tree: move, unfold and fold"],
  ["Enter", "in the tree: select a module"],
  ["Space", "in the tree: freeze or train it"],
  ["Ctrl+click, Shift+click", "in the tree: select several modules"],
  ["Ctrl+Space", "in the editor: what can be typed here"],
  ["F12, Ctrl+click", "in the editor: to the declaration of a name"],
  ["Ctrl+F", "in the editor: find and replace"],
  ["F8", "in the editor: the next problem"],
  ["Ctrl+Enter", "in a text of Predict: predict"],
  ["Escape, Tab", "leave the editor"],
  ["?", "this list"],
];

export function showShortcuts() {
  const rows = LIST.map(([keys, what]) => h("tr", h("th", { scope: "row" }, h("kbd", keys)), h("td", what)));
  const dialog = h(
    "dialog.dialog-view",
    { "aria-label": "Keyboard shortcuts" },
    h("h3", "Keyboard shortcuts"),
    h("table", h("tbody", rows)),
    h(
      "p.bar",
      button("Close", () => dialog.close()),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function moveAlongTabs(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const list = event.target.closest?.('[role="tablist"]');
  if (!step || !list) return;
  const tabs = [...list.querySelectorAll('[role="tab"]')];
  const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
  event.preventDefault();
  next?.click();
  next?.focus();
}

const isWriting = ({ target }) => Boolean(target.closest?.("input, textarea, select, [contenteditable='true']"));

export function bindShortcuts({ save, undo, redo }) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const isCommand = (event.ctrlKey || event.metaKey) && !event.altKey;
    const key = event.key.toLowerCase();
    const act = isCommand ? { s: save, z: event.shiftKey ? redo : undo, y: redo }[key] : null;
    if (act && (key === "s" || !isWriting(event))) {
      event.preventDefault();
      act();
    } else if (!isCommand && !isWriting(event)) plainKey(event);
  });
}

function plainKey(event) {
  if (event.key === "?") showShortcuts();
  else if (event.key === "/") {
    const searches = document.querySelectorAll(':is(.start-view, .tree-view) input[type="search"]');
    const search = [...searches].find((one) => one.checkVisibility());
    if (!search) return;
    event.preventDefault();
    search.focus();
  } else moveAlongTabs(event);
}
