// What the views share: messages to each other, requests to the server, and the editor.

const bus = (window.archspecBus ??= new EventTarget());
const latest = (window.archspecLatest ??= new Map());
export const send = (name, detail) => {
  latest.set(name, detail);
  bus.dispatchEvent(new CustomEvent(name, { detail }));
};
export const on = (name, act, options = {}) => bus.addEventListener(name, (event) => act(event.detail), options);
// As `on`, and at once for the latest message, if there was one: views start in any order, those of a tab when it is
// first shown.
export const onLatest = (name, act) => {
  on(name, act);
  if (latest.has(name)) act(latest.get(name));
};

// Acts when a node becomes visible, and again whenever the session has changed while it is visible: it is on the
// open tab, or, with `isScrolledTo`, also within the window.
export function whenVisible(node, act, { isScrolledTo = false } = {}) {
  let isStale = true;
  let isWithin = false;
  const check = () => {
    if (!isStale || !node.offsetParent || (isScrolledTo && !isWithin)) return;
    isStale = false;
    act();
  };
  on("revision", () => {
    isStale = true;
    check();
  });
  new IntersectionObserver((entries) => {
    isWithin = entries.at(-1).isIntersecting;
    check();
  }).observe(node);
}

// One request at a time: while one is under way, all further ones are combined into one.
export function oneAtATime(request) {
  let isBusy = false;
  let isWaiting = false;
  let timer = null;
  const ask = () => {
    isWaiting = isBusy;
    if (isBusy) return;
    isBusy = true;
    timer = setTimeout(done, 60000);
    request();
  };
  const done = () => {
    clearTimeout(timer);
    isBusy = false;
    if (isWaiting) ask();
  };
  return { ask, done };
}

// Every change carries the editor's text, so each one waits for the answer to the one before. If it fails, its control
// is told: `control` is the element that an error is shown at. `trigger` is the view's that changes something.
export const changes = (window.archspecChanges ??= { waiting: [], timer: null, control: null, since: null });
export function changeBy(trigger) {
  return (name, data, control = null) => {
    changes.waiting.push(() => {
      changes.control = control;
      changes.since ??= Date.now();
      trigger(name, data);
    });
    if (changes.timer === null) nextChange();
  };
}
export function nextChange() {
  clearTimeout(changes.timer);
  const act = changes.waiting.shift();
  changes.timer = act ? setTimeout(nextChange, 10000) : null;
  act?.();
}

// The editor of the page, once it is there.
export const editor = {
  get mounted() {
    return window.archspecEditor ?? null;
  },
  get view() {
    return this.mounted?.view;
  },
  get text() {
    return this.mounted?.text ?? "";
  },
  reveal(line, column = 1, focus = true) {
    if (focus) document.body.classList.add("spec-open");
    this.mounted?.reveal(line, column, focus);
  },
};
