// The editor of specs, made of CodeMirror's packages. It knows nothing of the page but its messages. What it needs once
// somebody is in it, `editor_tools.js`, is loaded then.
import { editorLibraries } from "./editor_libraries.js";
import { loadScript } from "./framework.js";
import { changedPart, offsetOf, rangeOf } from "./positions.js";
import { send } from "./page.js";
import { locatePatch, withUnixLineBreaks } from "./text_edits.js";

const {
  Annotation,
  Compartment,
  Decoration,
  EditorState,
  EditorView,
  HighlightStyle,
  StateEffect,
  StateField,
  bracketMatching,
  defaultKeymap,
  drawSelection,
  dropCursor,
  foldGutter,
  foldKeymap,
  highlightSpecialChars,
  history,
  historyKeymap,
  indentOnInput,
  indentUnit,
  indentWithTab,
  keymap,
  lineNumbers,
  lintGutter,
  lintKeymap,
  setDiagnostics,
  syntaxHighlighting,
  tags,
  yaml,
} = editorLibraries;

const LABEL = "YAML of the spec; press Escape, then Tab to leave it";
const fromServer = Annotation.define();

globalThis.archspecEditorLibraries = editorLibraries; // for the tools

const loadedTools = () => globalThis.archspecEditorTools ?? null;
// None if they cannot be loaded: the page says itself that the server is lost.
async function loadTools() {
  try {
    if (!loadedTools()) await loadScript("editor_tools.js");
  } catch {
    return null;
  }
  return loadedTools();
}

// The tools as a part of an editor, empty until somebody is in it: `extensionOf(tools)` is what it takes of them.
function lazyTools(extensionOf) {
  const part = new Compartment();
  const extension = () => part.of(loadedTools() ? [extensionOf(loadedTools())] : []);
  async function load(view) {
    if (!(await loadTools())) return;
    if (!part.get(view.state).length) view.dispatch({ effects: part.reconfigure([extensionOf(loadedTools())]) });
  }
  const focus = (event, view) => {
    load(view);
  };
  // What is under the pointer is shown once it moves: the move that came too early comes again.
  const mouseover = async (event, view) => {
    if (loadedTools()) return;
    await load(view);
    event.target.dispatchEvent(new MouseEvent("mousemove", event));
  };
  // Behind the keys of the tools, which take these once they are there.
  const command = (name) => (view) => {
    load(view).then(() => loadedTools()?.[name](view));
    return true;
  };
  // A key that came too early comes again.
  const again = (key) => (view) => {
    if (loadedTools()) return false;
    load(view).then(() => {
      const event = new KeyboardEvent("keydown", { key, code: key, bubbles: true, cancelable: true });
      if (loadedTools()) view.contentDOM.dispatchEvent(event);
    });
    return true;
  };
  const keys = keymap.of([
    { key: "F12", run: again("F12") },
    { key: "Ctrl-Space", run: command("startCompletion") },
    { key: "Mod-f", run: command("openSearchPanel") },
  ]);
  return { extension, loading: [EditorView.domEventHandlers({ focus, mouseover }), keys] };
}

// Colours are in editor.css.
const colours = HighlightStyle.define([
  { tag: tags.definition(tags.propertyName), class: "yaml-key" },
  { tag: tags.string, class: "yaml-string" },
  { tag: tags.special(tags.string), class: "yaml-string" },
  { tag: tags.comment, class: "yaml-comment" },
  { tag: [tags.labelName, tags.typeName, tags.keyword, tags.meta], class: "yaml-tag" },
  { tag: [tags.separator, tags.punctuation, tags.brace, tags.squareBracket], class: "yaml-mark" },
]);

// Lines with a problem, and the line of the selected module.
const setLines = StateEffect.define();
const lineMarks = {
  wrong: Decoration.line({ class: "wrong-line" }),
  chosen: Decoration.line({ class: "chosen-line" }),
};
const markedLines = StateField.define({
  create: () => Decoration.none,
  update(marks, transaction) {
    let now = marks.map(transaction.changes);
    for (const { value } of transaction.effects.filter((effect) => effect.is(setLines))) {
      const { doc } = transaction.state;
      const numbers = value.lines.filter((line) => line >= 1 && line <= doc.lines);
      const add = [...new Set(numbers)].map((line) => lineMarks[value.kind].range(doc.line(line).from));
      now = now.update({ filter: (from, to, mark) => mark !== lineMarks[value.kind], add, sort: true });
    }
    return now;
  },
  provide: (field) => EditorView.decorations.from(field),
});

function diagnosticOf(doc, { line, column, end_column: end, code, message, hint }) {
  const text = `${code} ${message}${hint ? `\n${hint}` : ""}`;
  return { ...rangeOf(doc, line, column, end), severity: "error", message: text };
}

// A line is reported when somebody moves the caret to it, not when the page does.
function reportCaret(onCaret) {
  let last = null;
  return EditorView.updateListener.of(({ state, transactions }) => {
    const isByHand = transactions.some((one) => one.isUserEvent("select") || one.isUserEvent("input"));
    const line = state.doc.lineAt(state.selection.main.head).number;
    if (!isByHand || line === last) return;
    last = line;
    onCaret(line, state.doc);
  });
}

const theme = () => EditorView.theme({}, { dark: document.body.classList.contains("dark") });

// Who comes by the Tab key goes on by it: it indents only after another key or a click.
let isByTab = false;
document.addEventListener("keydown", ({ key }) => (isByTab = key === "Tab"), true);
document.addEventListener("pointerdown", () => (isByTab = false), true);
const PASSING = 3600_000; // ms; CodeMirror ends this mode by itself with the first other key
const passing = EditorView.domEventHandlers({
  focus: (event, view) => view.setTabFocusMode(isByTab ? PASSING : false),
  mousedown: (event, view) => view.setTabFocusMode(false),
});

function editorExtensions(onChange) {
  const listen = EditorView.updateListener.of(({ docChanged, state, transactions }) => {
    if (docChanged) onChange(state.doc.toString(), !transactions.some((one) => one.annotation(fromServer)));
  });
  return [
    lineNumbers(),
    lintGutter(),
    foldGutter(),
    highlightSpecialChars(),
    history(),
    drawSelection(),
    dropCursor(),
    indentOnInput(),
    indentUnit.of("  "),
    bracketMatching(),
    yaml(),
    syntaxHighlighting(colours),
    markedLines,
    theme(),
    EditorView.contentAttributes.of({ "aria-label": LABEL, tabindex: "0" }),
    keymap.of([...defaultKeymap, ...historyKeymap, ...foldKeymap, ...lintKeymap, indentWithTab]),
    passing,
    listen,
    reportCaret((line, doc) => send("caret", { line, lines: doc.toString().split("\n") })),
  ];
}

// `onChange(text, isTyped)` is called with every new text.
function mountEditor(place, { onChange }) {
  let known = { file: "", inherited: null };
  const open = ({ at, file, line }) => {
    if (at !== undefined) go(at);
    else if (file === known.file) controls.reveal(line, 1, true);
    else send("open-file", { file, line });
  };
  const { extension, loading } = lazyTools((tools) => tools.ofEditor({ getInherited: () => known.inherited, open }));
  const others = editorExtensions(onChange);
  const stateOf = (doc) => EditorState.create({ doc, extensions: [extension(), others, loading] });
  const view = new EditorView({ parent: place, state: stateOf("") });
  let spec = null;
  const setLinesOf = (kind, lines) => view.dispatch({ effects: setLines.of({ kind, lines }) });
  // Shows an offset in the upper third.
  const go = (anchor, focus = true) => {
    if (focus) {
      view.dispatch({ selection: { anchor } });
      view.focus();
    }
    const top = view.lineBlockAt(anchor).top - view.scrollDOM.clientHeight / 3;
    view.scrollDOM.scrollTop = Math.max(0, top);
  };
  const controls = {
    view,
    get text() {
      return view.state.doc.toString();
    },
    // Another spec has no history of its own here; the same one keeps caret and history.
    setText(text, name) {
      const plain = withUnixLineBreaks(text);
      const changes = changedPart(this.text, plain);
      if (name !== spec) {
        view.setState(stateOf(plain));
        view.scrollDOM.scrollTo(0, 0);
      } else if (changes) view.dispatch({ changes, annotations: fromServer.of(true) });
      spec = name;
    },
    applyPatch(patch) {
      const from = locatePatch(this.text, patch);
      if (from === null) return;
      const changes = { from, to: from + patch.old.length, insert: patch.new };
      view.dispatch({ changes, annotations: fromServer.of(true) });
    },
    showProblems(problems) {
      const { doc } = view.state;
      const shown = problems.filter(({ line }) => line <= doc.lines).map((problem) => diagnosticOf(doc, problem));
      view.dispatch(setDiagnostics(view.state, shown));
      setLinesOf(
        "wrong",
        problems.map(({ line }) => line),
      );
    },
    showLine: (line) => setLinesOf("chosen", line ? [line] : []),
    reveal: (line, column, focus) => go(offsetOf(view.state.doc, line, column), focus),
    // Puts in lines as somebody would who types: undo takes them out again.
    insert(from, lines) {
      view.dispatch({ changes: { from, insert: lines }, userEvent: "input.paste" });
      go(from + 1);
    },
    loadTools,
    // The spec's file, and the names that it has from others.
    setNames(file, inherited) {
      known = { file, inherited };
    },
    // Whether a file is one that the spec extends or uses.
    isParent: (file) => Boolean(known.inherited?.files.includes(file)),
    mountReader,
  };
  return controls;
}

// A text that cannot be changed: `show(text, line, label)`. `onCaret(offset)` is called where the caret is now.
function mountReader(place, onCaret) {
  const view = new EditorView({ parent: place });
  const { extension, loading } = lazyTools((tools) => tools.ofReader());
  return {
    show(text, line, label) {
      const attributes = { "aria-label": `${label}, read-only`, "aria-readonly": "true", tabindex: "0" };
      const looks = [lineNumbers(), foldGutter(), yaml(), syntaxHighlighting(colours), markedLines, theme()];
      const reads = [EditorState.readOnly.of(true), EditorView.contentAttributes.of(attributes)];
      const keys = keymap.of([...foldKeymap, ...defaultKeymap]);
      const moved = EditorView.updateListener.of(
        ({ selectionSet, state }) => selectionSet && onCaret(state.selection.main.head),
      );
      const all = [extension(), looks, reads, keys, loading, moved];
      view.setState(EditorState.create({ doc: withUnixLineBreaks(text), extensions: all }));
      const { doc } = view.state;
      if (line > 1) view.dispatch({ effects: setLines.of({ kind: "chosen", lines: [line] }) });
      const start = offsetOf(doc, line);
      const effects = EditorView.scrollIntoView(start, { y: "start" });
      view.dispatch({ selection: { anchor: start }, effects });
    },
  };
}
globalThis.archspecMountEditor = mountEditor;
