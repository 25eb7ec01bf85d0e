// What the address says of the view: "#spec=bert&tab=cost&module=encoder&run=…". It is read by the page alone.

const read = () => new URLSearchParams(location.hash.slice(1));
export const addressed = (name) => read().get(name) ?? "";

// Names that are set to "" are left out; a step is one that the browser's Back returns from.
export function setAddress(values, { isStep = false } = {}) {
  const params = read();
  for (const [name, value] of Object.entries(values)) {
    if (value) params.set(name, value);
    else params.delete(name);
  }
  const text = params.toString();
  if (text === read().toString()) return;
  const url = location.pathname + location.search + (text ? `#${text}` : "");
  if (isStep) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}
