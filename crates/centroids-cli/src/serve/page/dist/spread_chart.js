import { h, svg } from "./dom.js";
import { distance, fileName } from "./text.js";
const WIDTH = 1000;
const HEIGHT = 56;
const INSET = 12;
export function spreadChart(members, spread, open) {
    const measured = members.filter((member) => member.distance !== null && !member.quarantined);
    const farthest = Math.max(spread.max, ...measured.map((member) => member.distance ?? 0)) || 1;
    const x = (value) => INSET + (value / farthest) * (WIDTH - 2 * INSET);
    const dot = (member) => svg("circle", {
        cx: x(member.distance ?? 0).toFixed(1),
        cy: HEIGHT / 2,
        r: 7,
        class: member.outlier ? "warn" : "",
        onclick: () => open(member),
    }, svg("title", {}, `${fileName(member.key)}: ${distance(member.distance ?? 0)}`));
    const mean = x(spread.mean).toFixed(1);
    const outliers = measured.filter((member) => member.outlier).length;
    const summary = `mean ${distance(spread.mean)}, largest ${distance(spread.max)}`;
    return h("figure", { class: "spread" }, svg("svg", {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "img",
        "aria-label": `Distances of ${measured.length} images to the centroid: ${summary}, ${outliers} outliers`,
    }, svg("line", { x1: INSET, x2: WIDTH - INSET, y1: HEIGHT / 2, y2: HEIGHT / 2 }), svg("line", { x1: mean, x2: mean, y1: 8, y2: HEIGHT - 8, class: "mean" }), ...measured.map(dot)), h("figcaption", { class: "soft" }, `Distance to the centroid: ${summary}`));
}
