import { model, setToken, token } from "./api.js";
import { h, part } from "./dom.js";
import { change, settings } from "./settings.js";
import { count } from "./text.js";
export function setUpSettings(about) {
    const k = part("setting-k");
    const unit = part("setting-unit");
    const camera = part("setting-camera");
    const theme = part("setting-theme");
    const shortcuts = part("setting-shortcuts");
    k.onchange = () => {
        change({ k: Math.min(100, Math.max(1, Math.round(Number(k.value)) || 1)) });
        k.value = String(settings.k);
    };
    unit.onchange = () => change({ unit: unit.value });
    camera.onchange = () => change({ camera: camera.value.trim() });
    theme.onchange = () => change({ theme: theme.value });
    shortcuts.onchange = () => change({ shortcuts: shortcuts.checked });
    part("settings-token").hidden = about.auth === "none";
    part("forget-token").onclick = () => {
        setToken(null);
        location.reload();
    };
}
export async function openSettings() {
    part("setting-k").value = String(settings.k);
    part("setting-unit").value = settings.unit;
    part("setting-camera").value = settings.camera;
    part("setting-theme").value = settings.theme;
    part("setting-shortcuts").checked = settings.shortcuts;
    part("forget-token").toggleAttribute("disabled", !token());
    part("settings").showModal();
    const about = await model().catch(() => null);
    part("about").replaceChildren(...(about ? facts(about) : []));
}
function facts(about) {
    const { gallery } = about;
    const rows = [
        ["Model", `${about.name}, ${about.width} × ${about.height} pixels → ${about.dim} numbers`],
        ["Fingerprint", about.fingerprint],
        ["Gallery", [
                count(gallery.classes, "class", "classes"),
                count(gallery.members, "image"),
                ...(gallery.quarantined ? [`${gallery.quarantined} in quarantine`] : []),
                ...(gallery.cameras ? [count(gallery.cameras, "camera")] : []),
            ].join(", ")],
        ["Confidence", about.calibrated ? "calibrated" : "not calibrated: distances are shown"],
        ["Changes", about.writable ? "allowed" : "not allowed: this gallery is read only"],
    ];
    return rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
}
