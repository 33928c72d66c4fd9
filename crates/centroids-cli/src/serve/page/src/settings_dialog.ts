// The dialog of settings: how to search, how it looks, and what is served.

import { model, setToken, token, type Model, type Unit } from "./api.js";
import { h, part } from "./dom.js";
import { change, settings, type Theme } from "./settings.js";
import { count } from "./text.js";

export function setUpSettings(about: Model): void {
  const k = part<HTMLInputElement>("setting-k");
  const unit = part<HTMLSelectElement>("setting-unit");
  const camera = part<HTMLInputElement>("setting-camera");
  const theme = part<HTMLSelectElement>("setting-theme");
  const shortcuts = part<HTMLInputElement>("setting-shortcuts");
  k.onchange = () => {
    change({ k: Math.min(100, Math.max(1, Math.round(Number(k.value)) || 1)) });
    k.value = String(settings.k);
  };
  unit.onchange = () => change({ unit: unit.value as Unit });
  camera.onchange = () => change({ camera: camera.value.trim() });
  theme.onchange = () => change({ theme: theme.value as Theme });
  shortcuts.onchange = () => change({ shortcuts: shortcuts.checked });
  part("settings-token").hidden = about.auth === "none";
  part("forget-token").onclick = () => {
    setToken(null);
    location.reload();
  };
}

export async function openSettings(): Promise<void> {
  part<HTMLInputElement>("setting-k").value = String(settings.k);
  part<HTMLSelectElement>("setting-unit").value = settings.unit;
  part<HTMLInputElement>("setting-camera").value = settings.camera;
  part<HTMLSelectElement>("setting-theme").value = settings.theme;
  part<HTMLInputElement>("setting-shortcuts").checked = settings.shortcuts;
  part("forget-token").toggleAttribute("disabled", !token());
  part<HTMLDialogElement>("settings").showModal();
  const about = await model().catch(() => null);
  part("about").replaceChildren(...(about ? facts(about) : []));
}

function facts(about: Model): HTMLElement[] {
  const { gallery } = about;
  const rows: [string, string][] = [
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
