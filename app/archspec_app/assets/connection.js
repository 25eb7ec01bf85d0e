// How the page stands: at work, showing figures of an earlier text, or without its server.
import { askServer } from "./framework.js";
import { changes, editor, on, send } from "./page.js";
import { withUnixLineBreaks } from "./text_edits.js";

const LOOK_INTERVAL = 250;
const BUSY_AFTER = 500;
const SERVER_INTERVAL = 4000;
const GIVE_UP_AFTER = 60000;

const clock = (time) => new Date(time).toLocaleTimeString();

// `state` shows it; `getDraft` returns the text that the server answered for; `reconnect` asks the server anew.
export function watchState({ state, getDraft, reconnect }) {
  let answeredDoc = null;
  let typedSince = null;
  let figuresOf = null; // when the figures on screen were computed
  let isStale = false;
  let lostSince = null;

  // Whether something was typed that no answer holds yet.
  function isBehind() {
    const doc = editor.view?.state.doc;
    const draft = getDraft();
    if (!doc || !draft || doc === answeredDoc) return false;
    const text = withUnixLineBreaks(draft.text);
    if (doc.length !== text.length || doc.toString() !== text) return true;
    answeredDoc = doc;
    return false;
  }

  function look() {
    const now = Date.now();
    const wasTyped = typedSince !== null;
    typedSince = isBehind() ? (typedSince ?? now) : null;
    if (wasTyped !== (typedSince !== null)) send("typed");
    const since = Math.min(typedSince ?? Infinity, changes.since ?? Infinity);
    const elapsed = now - since;
    const isBusy = elapsed > BUSY_AFTER && elapsed < GIVE_UP_AFTER;
    const shown = document.body.classList;
    shown.toggle("busy", isBusy);
    shown.toggle("stale", isStale && !isBusy);
    shown.toggle("offline", lostSince !== null);
    const text = stateText(isBusy, elapsed);
    if (state.textContent !== text) state.textContent = text;
  }
  function stateText(isBusy, elapsed) {
    if (lostSince !== null)
      return `Server not reached since ${clock(lostSince)}: trying again. Your text is kept in this tab.`;
    if (isBusy) return elapsed < 2000 ? "Working …" : `Working … ${Math.floor(elapsed / 1000)} s`;
    return isStale && figuresOf ? `Figures of ${clock(figuresOf)}` : "";
  }

  on("answered", ({ problems, hasModel }) => {
    isStale = problems > 0 && hasModel;
    if (!problems) figuresOf = Date.now();
    look();
  });

  async function ask() {
    if (document.hidden) return;
    try {
      await askServer();
      if (lostSince !== null) reconnect();
      lostSince = null;
    } catch {
      lostSince ??= Date.now();
    }
    look();
  }
  setInterval(look, LOOK_INTERVAL);
  setInterval(ask, SERVER_INTERVAL);
}
