// Creates elements. Text reaches the page through text nodes and setAttribute alone.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "circle", "line", "path", "polyline", "rect", "text", "title"]);

const isAttributes = (value) => value?.constructor === Object;

// h("td.number", { title: "exact" }, "4.0 k", other): tag and classes, attributes or none, children.
export function h(selector, ...content) {
  const [tag, ...classes] = selector.split(".");
  const node = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  const attributes = isAttributes(content[0]) ? content.shift() : {};
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") classes.push(...String(value ?? "").split(" "));
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  if (classes.some(Boolean)) node.setAttribute("class", classes.filter(Boolean).join(" "));
  node.append(...content.flat(9).filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export const button = (label, act, attributes = {}) =>
  h("button", { type: "button", onclick: act, ...attributes }, label);

export const option = (value, chosen, label = value) => h("option", { value, selected: value === chosen }, label);

// Specs as options, those of the folder before those of the package.
export function specOptions(names, chosen) {
  const group = (label, inFolder) => {
    const own = names.filter((name) => /\.ya?ml$/.test(name) === inFolder);
    return h(
      "optgroup",
      { label },
      own.map((name) => option(name, chosen)),
    );
  };
  return [group("This folder", true), group("Packaged", false)];
}

export const headRow = (names, isNumber = () => false) =>
  h(
    "thead",
    h(
      "tr",
      names.map((name, i) => h("th", { scope: "col", class: isNumber(i) ? "number" : "" }, name)),
    ),
  );

export const rowHead = (...content) => h("th", { scope: "row" }, ...content);

export const meter = (share, attributes = {}) =>
  h("span.meter", attributes, h("span", { style: `width:${100 * share}%` }));

// A wide element that scrolls by itself, also with the keyboard.
export const scrollable = (label, child) =>
  h("div.wide", { tabindex: "0", role: "region", "aria-label": label }, child);

// Redraws, and puts the focus back on the element with the same attribute.
export function keepFocus(root, attribute, redraw) {
  const focused = root.contains(document.activeElement) ? document.activeElement.closest(`[${attribute}]`) : null;
  const value = focused?.getAttribute(attribute);
  redraw();
  if (focused)
    [...root.querySelectorAll(`[${attribute}]`)]
      .find((node) => node.getAttribute(attribute) === value)
      ?.focus({ preventScroll: true }); // who reads elsewhere on the page stays there
}

export function download(name, content, type) {
  const link = h("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
