// The places of modules in a tree that lacks some of them, such as containers: names below those that are there.
export function namesInTree(paths) {
  const known = new Set(paths);
  return paths.map((path) => {
    const parts = path ? path.split(".") : [];
    const above = parts.map((_, i) => parts.slice(0, i).join(".")).filter((one) => known.has(one));
    const nearest = above.at(-1);
    return { name: nearest ? path.slice(nearest.length + 1) : path, depth: above.length };
  });
}
