// The editor that everybody sees. What `shared.js` names is here for `tools.js`.
export { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
export { yaml } from "@codemirror/lang-yaml";
export {
  HighlightStyle,
  bracketMatching,
  foldGutter,
  foldKeymap,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
  syntaxTree,
} from "@codemirror/language";
export { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
export {
  Annotation,
  CharCategory,
  Compartment,
  EditorSelection,
  EditorState,
  Facet,
  MapMode,
  Prec,
  RangeSet,
  RangeSetBuilder,
  RangeValue,
  StateEffect,
  StateField,
  Text,
  Transaction,
  codePointAt,
  codePointSize,
  combineConfig,
  findClusterBreak,
  fromCodePoint,
} from "@codemirror/state";
export {
  Decoration,
  Direction,
  EditorView,
  ViewPlugin,
  WidgetType,
  drawSelection,
  dropCursor,
  getDialog,
  getPanel,
  getTooltip,
  highlightSpecialChars,
  hoverTooltip,
  keymap,
  lineNumbers,
  logException,
  runScopeHandlers,
  showDialog,
  showPanel,
  showTooltip,
} from "@codemirror/view";
export { tags } from "@lezer/highlight";
