// Shared by every view. Text reaches the page through textContent and setAttribute alone.
"use strict";
const bus = (window.archspecBus ??= new EventTarget());
const tell = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));
const on = (name, act) => bus.addEventListener(name, (event) => act(event.detail));

function h(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "circle", "line", "polyline", "text", "g"].includes(tag);
  const made = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      made.setAttribute(name, String(value));
  }
  made.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
  return made;
}

// As in numbers.py: four digits, of the unit that is reached once they are rounded.
const UNITS = ["", "k", "M", "G", "T", "P"];
function short(number) {
  if (number < 1000) return String(number);
  let power = 0, value = number;
  while (power < UNITS.length - 1 && Math.max(value, 0) >= (power ? 999.95 : 1000)) { value /= 1000; power++; }
  return `${value.toFixed(value < 9.9995 ? 3 : value < 99.995 ? 2 : 1)} ${UNITS[power]}`;
}
const exact = (number, unit) => `${number.toLocaleString("en")} ${unit}`;

function download(name, content, type) {
  const link = h("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Acts when an element comes into sight, and again whenever the desk has changed while it is seen.
function whenSeen(seen, act) {
  let stale = true;
  const look = () => {
    if (!stale || !seen.offsetParent) return;
    stale = false;
    act();
  };
  on("revision", () => { stale = true; look(); });
  new IntersectionObserver(look).observe(seen);
}

// One request at a time; whatever is asked for meanwhile is asked for once, at last.
function oneAtATime(send) {
  let busy = false, again = false, timer = null;
  const ask = () => {
    if (busy) { again = true; return; }
    busy = true;
    timer = setTimeout(done, 60000);
    send();
  };
  const done = () => {
    clearTimeout(timer);
    busy = false;
    if (again) { again = false; ask(); }
  };
  return { ask, done };
}

// The editor's text goes with whatever changes it, so a change waits for the answer to the last.
const turns = (window.archspecTurns ??= { waiting: [], timer: null });
function change(name, data) {
  turns.waiting.push(() => trigger(name, data));
  if (turns.timer === null) nextTurn();
}
function nextTurn() {
  clearTimeout(turns.timer);
  const act = turns.waiting.shift();
  turns.timer = act ? setTimeout(nextTurn, 10000) : null;
  act?.();
}

const editor = {
  get dom() { return document.querySelector("#editor .cm-content"); },
  get view() { return this.dom?.cmTile?.root?.view ?? this.dom?.cmView?.rootView?.view; },
  get text() { return this.view?.state.doc.toString() ?? ""; },
  reveal(line, column = 1, focus = true) {
    const view = this.view;
    if (!view) return;
    const at = view.state.doc.line(Math.max(1, Math.min(line, view.state.doc.lines)));
    const anchor = Math.min(at.from + column - 1, at.to);
    const top = view.lineBlockAt(anchor).top - view.scrollDOM.clientHeight / 3;
    if (focus) { view.dispatch({ selection: { anchor } }); view.focus(); }
    view.scrollDOM.scrollTop = Math.max(0, top);
  },
};
