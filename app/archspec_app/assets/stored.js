// What a tab of the browser keeps of a form, for a reload; anybody may have changed it.

export function readStored(name) {
  try {
    const value = JSON.parse(sessionStorage.getItem(name));
    return value?.constructor === Object ? value : {};
  } catch {
    return {};
  }
}
export function writeStored(name, value) {
  try {
    sessionStorage.setItem(name, JSON.stringify(value));
  } catch {
    sessionStorage.removeItem(name); // too long to be kept
  }
}
