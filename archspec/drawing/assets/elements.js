// Elements of pages and of pictures. Text reaches them through text nodes and setAttribute alone.

const PICTURE_TAGS = new Set("svg g path rect text title defs marker use".split(" "));

// make("g.box", { x: 1 }, "text", other): tag and classes, attributes, children.
export function make(selector, attributes = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const node = PICTURE_TAGS.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, String(value));
  }
  if (classes.length) node.setAttribute("class", classes.filter(Boolean).join(" "));
  node.append(...children.flat(9).filter((child) => child || child === 0));
  return node;
}

export const makeButton = (label, name, act, attributes = {}) =>
  make("button", { type: "button", "aria-label": name, title: name, onclick: act, ...attributes }, label);
