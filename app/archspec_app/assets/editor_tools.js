// What the editor needs once somebody is in it: completion, what is said of a word, find and replace,
// and copies of what another file declares.
import { canCopy, copyInto, declarationAt } from "./copy_declaration.js";
import { editorToolsLibraries } from "./editor_tools_libraries.js";
import { languageSupport } from "./language_support.js";

const {
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
  highlightSelectionMatches,
  openSearchPanel,
  search,
  searchKeymap,
  startCompletion,
} = editorToolsLibraries;
const { keymap } = globalThis.archspecEditorLibraries;
const find = () => search({ top: true });

globalThis.archspecEditorTools = {
  canCopy,
  copyInto,
  declarationAt,
  openSearchPanel,
  startCompletion,
  ofEditor: (support) => [
    closeBrackets(),
    languageSupport(support),
    highlightSelectionMatches(),
    find(),
    keymap.of([...closeBracketsKeymap, ...searchKeymap, ...completionKeymap]),
  ],
  ofReader: () => [find(), keymap.of(searchKeymap)],
};
