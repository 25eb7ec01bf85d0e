// A model's tree as a small picture: bars for the modules of each level, below those that they are in.

export const TREE_WIDTH = 160; // units of the whole model
export const LEVEL_HEIGHT = 6;
const GAP = 1; // between two levels; between neighbours half of it, where there is room

// The outline of all bars of each level; a negative width is a gap.
export function levelPaths(levels) {
  return levels.map((widths, level) => {
    const bars = [];
    let x = 0;
    for (const width of widths) {
      const drawn = width > 1 ? width - GAP / 2 : width;
      if (width > 0) bars.push(`M${x} ${level * LEVEL_HEIGHT}h${drawn}v${LEVEL_HEIGHT - GAP}h${-drawn}z`);
      x += Math.abs(width);
    }
    return bars.join("");
  });
}
