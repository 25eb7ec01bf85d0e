// Completion, what is said of the word under the pointer, and the way to declarations, as parts of the editor.
import { complete } from "./completions.js";
import { button, h } from "./dom.js";
import { editorToolsLibraries } from "./editor_tools_libraries.js";
import { loadData } from "./framework.js";
import { referenceAt } from "./references.js";

const CLASSES = { key: "k", argument: "a", layer: "L", block: "B", function: "ƒ", parameter: "P" };

const BOOSTS = { argument: 8, key: 0, layer: 0, function: 0, value: 9, constant: -5 };

let language = null; // a promise of what the server knows, asked for when it is first needed
function knowledge() {
  language ??= loadData("language.json").catch(() => {
    language = null; // the server may be back the next time
    return null;
  });
  return language;
}

// `getInherited` returns the names that the server has found; `open(target)` shows a declaration.
export function languageSupport({ getInherited, open }) {
  const { acceptCompletion, autocompletion, completionStatus } = editorToolsLibraries;
  const { EditorView, Prec, hoverTooltip, keymap } = globalThis.archspecEditorLibraries;
  const asked = async (ask, state, offset) => {
    const known = await knowledge();
    return known ? ask(state.doc.toString(), offset, { language: known, inherited: getInherited() }) : null;
  };

  async function source(context) {
    const { state, pos, explicit } = context;
    if (!explicit && !/[\w$@.]/.test(state.sliceDoc(pos - 1, pos))) return null;
    const found = await asked(complete, state, pos);
    if (!found?.options.length || (!explicit && found.from === pos && !found.isPath)) return null;
    const options = found.options.map(({ label, kind, detail, info, apply, isFirst }) => ({
      label,
      type: kind,
      detail: detail.length > 48 ? `${detail.slice(0, 47)}…` : detail,
      info: info || undefined,
      apply,
      boost: isFirst ? 10 : (BOOSTS[kind] ?? 5), // what the spec itself names is likelier
    }));
    return { from: found.from, options, validFor: found.isPath ? /^[\w-]*$/ : /^[\w$@-]*$/ };
  }

  const hover = hoverTooltip(
    async (view, pos) => {
      const found = await asked(referenceAt, view.state, pos);
      if (!found || completionStatus(view.state)) return null;
      const { from, to, title, lines, target } = found;
      const go =
        target && target.at !== from ? button("Go to declaration", () => open(target), { class: "link" }) : null;
      const parts = [h("code", title), ...lines.map((line) => h("p", line)), go];
      return { pos: from, end: to, create: () => ({ dom: h("div.hover-help", ...parts) }) };
    },
    { hideOnChange: true },
  );

  async function goTo(view, pos) {
    const found = await asked(referenceAt, view.state, pos);
    if (found?.target) open(found.target);
  }
  const follow = (view) => {
    goTo(view, view.state.selection.main.head);
    return true;
  };
  const click = EditorView.domEventHandlers({
    mousedown(event, view) {
      if (!(event.ctrlKey || event.metaKey) || event.button !== 0) return false;
      const pos = view.posAtCoords({ x: event.clientX, y: event.clientY });
      if (pos === null) return false;
      event.preventDefault();
      goTo(view, pos);
      return true;
    },
  });
  return [
    autocompletion({
      override: [source],
      icons: false,
      addToOptions: [
        {
          render: ({ type }) => h("span.option-kind", { title: type, "aria-hidden": "true" }, CLASSES[type] ?? "·"),
          position: 20,
        },
      ],
    }),
    hover,
    click,
    Prec.high(keymap.of([{ key: "Tab", run: acceptCompletion }])),
    keymap.of([{ key: "F12", run: follow }]),
  ];
}
