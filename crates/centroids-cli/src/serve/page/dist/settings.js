const KEY = "centroids.settings";
const DEFAULTS = { k: 8, unit: "centroid", camera: "", theme: "auto", shortcuts: true };
const UNITS = ["centroid", "nearest", "instance"];
const THEMES = ["auto", "light", "dark"];
export const settings = stored();
const listeners = [];
export function onSettings(listener) {
    listeners.push(listener);
}
export function change(changed) {
    Object.assign(settings, changed);
    localStorage.setItem(KEY, JSON.stringify(settings));
    if (changed.theme)
        showTheme();
    listeners.forEach((listener) => listener(changed));
}
export function showTheme() {
    document.documentElement.dataset["theme"] = settings.theme;
}
export function toggleTheme() {
    const dark = settings.theme === "dark" ||
        (settings.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    change({ theme: dark ? "light" : "dark" });
    return settings.theme;
}
function stored() {
    let saved = {};
    try {
        saved = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    }
    catch {
    }
    const merged = { ...DEFAULTS, ...saved };
    if (!UNITS.includes(merged.unit))
        merged.unit = DEFAULTS.unit;
    if (!THEMES.includes(merged.theme))
        merged.theme = DEFAULTS.theme;
    if (!(merged.k >= 1 && merged.k <= 100))
        merged.k = DEFAULTS.k;
    return merged;
}
