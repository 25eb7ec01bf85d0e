// The editor of specs, made of CodeMirror's packages. It knows nothing of the page but its messages.
import { editorLibraries } from "./editor_libraries.js";
import { languageSupport } from "./language_support.js";
import { changedPart, offsetOf, rangeOf } from "./positions.js";
import { send } from "./page.js";
import { locatePatch, withUnixLineBreaks } from "./text_edits.js";

const {
  Annotation,
  Decoration,
  EditorState,
  EditorView,
  HighlightStyle,
  StateEffect,
  StateField,
  bracketMatching,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
  defaultKeymap,
  drawSelection,
  dropCursor,
  foldGutter,
  foldKeymap,
  highlightSelectionMatches,
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
  search,
  searchKeymap,
  setDiagnostics,
  syntaxHighlighting,
  tags,
  yaml,
} = editorLibraries;

const LABEL = "YAML of the spec; press Escape, then Tab to leave it";
const fromServer = Annotation.define();

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

function extensions(onChange, support) {
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
    closeBrackets(),
    languageSupport(support),
    highlightSelectionMatches(),
    search({ top: true }),
    yaml(),
    syntaxHighlighting(colours),
    markedLines,
    theme(),
    EditorView.contentAttributes.of({ "aria-label": LABEL, tabindex: "0" }),
    keymap.of([
      ...closeBracketsKeymap,
      ...defaultKeymap,
      ...searchKeymap,
      ...historyKeymap,
      ...foldKeymap,
      ...completionKeymap,
      ...lintKeymap,
      indentWithTab,
    ]),
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
  const all = extensions(onChange, { getInherited: () => known.inherited, open });
  const stateOf = (doc) => EditorState.create({ doc, extensions: all });
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

// A text that cannot be changed: `show(text, line, label)`.
function mountReader(place) {
  const view = new EditorView({ parent: place });
  return {
    show(text, line, label) {
      const attributes = { "aria-label": `${label}, read-only`, "aria-readonly": "true", tabindex: "0" };
      const looks = [lineNumbers(), foldGutter(), yaml(), syntaxHighlighting(colours), markedLines, theme()];
      const reads = [EditorState.readOnly.of(true), EditorView.contentAttributes.of(attributes)];
      const finds = [search({ top: true }), keymap.of([...searchKeymap, ...foldKeymap, ...defaultKeymap])];
      view.setState(EditorState.create({ doc: withUnixLineBreaks(text), extensions: [looks, reads, finds] }));
      const { doc } = view.state;
      if (line > 1) view.dispatch({ effects: setLines.of({ kind: "chosen", lines: [line] }) });
      const start = offsetOf(doc, line);
      view.dispatch({ effects: EditorView.scrollIntoView(start, { y: "start" }) });
    },
  };
}
globalThis.archspecMountEditor = mountEditor;
