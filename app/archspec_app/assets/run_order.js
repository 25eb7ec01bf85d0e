// Runs in order, and what differs between them.

// Rows in the order of a column; those without a value come last, whatever the direction.
export function sortRows(rows, { column, isDown }) {
  const value = (row) => (column === "best" ? row.best?.value : row[column]) ?? "";
  const compare = (a, b) => {
    const [one, other] = [value(a), value(b)];
    if (one === "" || other === "") return Number(one === "") - Number(other === "");
    const order = one < other ? -1 : Number(one > other);
    return isDown ? -order : order;
  };
  return rows.toSorted(compare);
}

// Names and values of the options that are not equal in all runs.
export function differences(runs) {
  const names = [...new Set(runs.flatMap(({ options }) => Object.keys(options)))];
  const rows = names.map((name) => [name, runs.map(({ options }) => options[name])]);
  return rows.filter(([, values]) => new Set(values).size > 1);
}
