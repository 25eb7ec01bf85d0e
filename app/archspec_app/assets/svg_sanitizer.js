// Rebuilds what Graphviz drew: its names are untrusted, so only known shapes and attributes are copied.

const NAMESPACE = "http://www.w3.org/2000/svg";
const NUMBER = /^[-+.\deE]+(pt)?$/;
const NUMBERS = /^[-+.,\s\deE]*$/;
const WORDS = /^[\w ,-]*$/;
const PAINT = /^(#[\da-f]{3,8}|none|transparent|[a-z]{1,20})$/i;
const PATH_DATA = /^[-+.,\s\deEMLCZmlczHVhvSsQqAaTt]*$/;
const PAINTS = { fill: PAINT, stroke: PAINT, "stroke-width": NUMBER, "stroke-dasharray": NUMBERS, opacity: NUMBER };
const TAGS = {
  svg: { viewBox: NUMBERS },
  g: { class: /^(graph|node|edge|cluster)$/, transform: /^[a-z\d\s(),.+-]*$/i, "data-node": /^n\d+$/ },
  a: {},
  title: {},
  polygon: { points: NUMBERS },
  polyline: { points: NUMBERS },
  path: { d: PATH_DATA },
  ellipse: { cx: NUMBER, cy: NUMBER, rx: NUMBER, ry: NUMBER },
  text: { x: NUMBER, y: NUMBER, "text-anchor": WORDS, "font-family": WORDS, "font-size": NUMBER, "font-weight": WORDS },
};

// A copy of a parsed node without anything that is not in the tables; null for an unknown node.
export function sanitizeSvg(node) {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.data);
  if (node.nodeType !== Node.ELEMENT_NODE || node.namespaceURI !== NAMESPACE) return null;
  if (!Object.hasOwn(TAGS, node.localName)) return null;
  const copy = document.createElementNS(NAMESPACE, node.localName === "a" ? "g" : node.localName);
  for (const [name, allowed] of Object.entries({ ...TAGS[node.localName], ...PAINTS })) {
    const value = node.getAttribute(name);
    if (value !== null && allowed.test(value)) copy.setAttribute(name, value);
  }
  copy.append(...[...node.childNodes].map(sanitizeSvg).filter(Boolean));
  return copy;
}
