// A value of a tensor: four digits.
export const formatValue = (value) => (value === null ? "–" : Number(value.toPrecision(4)).toString());
