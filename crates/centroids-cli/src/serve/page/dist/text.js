export function count(number, one, many = `${one}s`) {
    return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}
export function distance(value) {
    const magnitude = Math.abs(value);
    if (magnitude === 0)
        return "0";
    if (magnitude < 1e-3 || magnitude >= 1e5)
        return value.toExponential(2);
    return magnitude < 100 ? value.toPrecision(3) : value.toFixed(0);
}
export function percent(value) {
    if (value > 0.99 && value < 1)
        return "> 99 %";
    if (value > 0 && value < 0.01)
        return "< 1 %";
    return `${Math.round(value * 100)} %`;
}
export function nameOf(of) {
    return of.name ?? String(of.pid);
}
export function fileName(key) {
    return key.split("/").pop() || key;
}
