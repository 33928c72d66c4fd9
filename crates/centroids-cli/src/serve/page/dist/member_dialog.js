import { button, h, part } from "./dom.js";
import { galleryPicture } from "./picture.js";
import { distance, fileName } from "./text.js";
export function showMember(member, actions) {
    const dialog = part("member");
    const act = (label, run) => button(label, () => (dialog.close(), run()), { class: label === "Delete" ? "danger" : "" });
    dialog.replaceChildren(h("h2", {}, fileName(member.key)), h("div", { class: "frame" }, galleryPicture(member.image, fileName(member.key), 640)), h("dl", {}, ...facts(member).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])), h("div", { class: "row" }, ...Object.entries(actions || {}).map(([label, run]) => act(label, run)), h("span", { class: "grow" }), button("Close", () => dialog.close(), { class: "primary", autofocus: true })));
    dialog.setAttribute("aria-label", fileName(member.key));
    dialog.showModal();
}
function facts(member) {
    const known = [
        ["Distance to the centroid", member.distance === null ? null : distance(member.distance)],
        ["Standing", member.quarantined ? "in quarantine" : member.outlier ? "outlier" : null],
        ["Camera", member.camid === null ? null : String(member.camid)],
        ["Time", member.time === null ? null : String(member.time)],
        ["Weight", member.weight === 1 ? null : String(member.weight)],
        ["Key", member.key],
        ...Object.entries(member.attributes).map(([name, value]) => [
            name,
            typeof value === "string" ? value : JSON.stringify(value),
        ]),
    ];
    return known.filter((fact) => fact[1] !== null);
}
