// Which box of a diagram stands for which modules.

const parentOf = (path) => path.split(".").slice(0, -1).join(".");
const numberOf = (path) => Number(path.split(".").at(-1));

// Whether a module is drawn as a box, or is one of the equal modules that share it.
export function covers(box, path) {
  if (box.path === null) return false;
  if (box.path === path) return true;
  if (!(box.times > 1) || parentOf(box.path) !== parentOf(path)) return false;
  return numberOf(path) >= numberOf(box.path) && numberOf(path) < numberOf(box.path) + box.times;
}

// The box of a module, or of the nearest module that contains it.
export function boxOf(boxes, path) {
  let at = "";
  let hit = boxes.find((box) => box.path === "") ?? null;
  for (const name of path ? path.split(".") : []) {
    at = at ? `${at}.${name}` : name;
    const box = boxes.find((candidate) => covers(candidate, at));
    if (box) {
      hit = box;
      at = box.path;
    }
  }
  return hit;
}
