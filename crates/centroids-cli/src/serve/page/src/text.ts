// Numbers and names as people read them.

/** "1 image", "2 images". */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** A distance: three significant digits. */
export function distance(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude === 0) return "0";
  if (magnitude < 1e-3 || magnitude >= 1e5) return value.toExponential(2);
  return magnitude < 100 ? value.toPrecision(3) : value.toFixed(0);
}

/** A probability in per cent; never a certainty that it is not. */
export function percent(value: number): string {
  if (value > 0.99 && value < 1) return "> 99 %";
  if (value > 0 && value < 0.01) return "< 1 %";
  return `${Math.round(value * 100)} %`;
}

/** How a class is called here and on the server: by its name, or by its number where it has none. */
export function nameOf(of: { name: string | null; pid: number }): string {
  return of.name ?? String(of.pid);
}

/** The last part of a path. */
export function fileName(key: string): string {
  return key.split("/").pop() || key;
}
