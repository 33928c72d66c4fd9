// What a person prefers; kept in this browser.

import type { SearchSettings, Unit } from "./api.js";

export type Theme = "auto" | "light" | "dark";

export interface Settings extends SearchSettings {
  theme: Theme;
  shortcuts: boolean;
}

const KEY = "centroids.settings";
const DEFAULTS: Settings = { k: 8, unit: "centroid", camera: "", theme: "auto", shortcuts: true };
const UNITS: Unit[] = ["centroid", "nearest", "instance"];
const THEMES: Theme[] = ["auto", "light", "dark"];

export const settings: Settings = stored();
const listeners: ((changed: Partial<Settings>) => void)[] = [];

/** Calls back whenever a setting changes. */
export function onSettings(listener: (changed: Partial<Settings>) => void): void {
  listeners.push(listener);
}

export function change(changed: Partial<Settings>): void {
  Object.assign(settings, changed);
  localStorage.setItem(KEY, JSON.stringify(settings));
  if (changed.theme) showTheme();
  listeners.forEach((listener) => listener(changed));
}

export function showTheme(): void {
  document.documentElement.dataset["theme"] = settings.theme;
}

/** From what is shown now to its opposite. */
export function toggleTheme(): Theme {
  const dark =
    settings.theme === "dark" ||
    (settings.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  change({ theme: dark ? "light" : "dark" });
  return settings.theme;
}

function stored(): Settings {
  let saved: Partial<Settings> = {};
  try {
    saved = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Settings>;
  } catch {
    // Not ours: the defaults do.
  }
  const merged = { ...DEFAULTS, ...saved };
  if (!UNITS.includes(merged.unit)) merged.unit = DEFAULTS.unit;
  if (!THEMES.includes(merged.theme)) merged.theme = DEFAULTS.theme;
  if (!(merged.k >= 1 && merged.k <= 100)) merged.k = DEFAULTS.k;
  return merged;
}
