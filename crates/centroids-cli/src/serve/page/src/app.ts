// The page: which view is shown, where pictures come in, and the keys.

import { model, onTokenWanted, setToken, token, type Model } from "./api.js";
import { ClassView } from "./class_view.js";
import { ClassesView } from "./classes_view.js";
import { onDeletionsSettled } from "./deletions.js";
import { announce, button, h, part } from "./dom.js";
import { picturesIn } from "./picture.js";
import { SearchView } from "./search_view.js";
import { openSettings, setUpSettings } from "./settings_dialog.js";
import { settings, showTheme, toggleTheme } from "./settings.js";

interface View {
  title: string;
  node: HTMLElement;
  shown?(): Promise<void>;
  take?(pictures: File[]): Promise<void>;
}

class App {
  private readonly search: SearchView;
  private readonly classes: ClassesView;
  private view: View | null = null;

  constructor(private readonly about: Model) {
    this.search = new SearchView(about);
    this.classes = new ClassesView(about);
    addEventListener("hashchange", () => this.route());
    onDeletionsSettled(() => void this.view?.shown?.());
    this.takePictures();
    document.addEventListener("keydown", (event) => this.key(event));
    this.route();
  }

  private route(): void {
    const [, place = "search", name] = location.hash.split("/");
    if (place === "classes" && name) this.show(new ClassView(decodeURIComponent(name), this.about), place);
    else if (place === "classes") this.show(this.classes, place);
    else this.show(this.search, "search");
  }

  private show(view: View, place: string): void {
    const first = this.view === null;
    this.view = view;
    for (const link of document.querySelectorAll("#places a")) {
      const here = link.getAttribute("href") === `#/${place}`;
      if (here) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${view.title} – centroids`;
    part("main").replaceChildren(view.node);
    void Promise.resolve(view.shown?.()).then(() => {
      if (!first && this.view === view) view.node.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
    });
  }

  /** Pictures that are dropped or pasted anywhere go to the view that is shown, or are searched for. */
  private takePictures(): void {
    const take = (data: DataTransfer | null): void => {
      const pictures = picturesIn(data);
      if (this.view instanceof ClassView && this.about.writable) {
        void this.view.take(pictures);
        return;
      }
      location.hash = "#/search";
      void this.search.take(pictures);
    };
    const files = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
    addEventListener("dragover", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      document.body.classList.add("dropping");
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) document.body.classList.remove("dropping");
    });
    addEventListener("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      document.body.classList.remove("dropping");
      take(event.dataTransfer);
    });
    addEventListener("paste", (event) => {
      if (event.clipboardData?.files.length) take(event.clipboardData);
    });
  }

  private key(event: KeyboardEvent): void {
    const typing = (event.target as Element).closest("input:not([type=checkbox]), select, textarea, dialog");
    if (!settings.shortcuts || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = this.shortcuts()[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  private shortcuts(): Record<string, () => void> {
    return {
      o: () => ((location.hash = "#/search"), void this.search.pick()),
      s: () => (location.hash = "#/search"),
      c: () => (location.hash = "#/classes"),
      "/": () => {
        location.hash = "#/classes";
        setTimeout(() => this.classes.focusSearch(), 100);
      },
      t: () => announce(`${toggleTheme()} colours`),
      ",": () => void openSettings(),
      "?": () => void openSettings(),
    };
  }
}

/** Asks for the token; many requests may wait for one answer. */
function tokenAsker(): () => Promise<string | null> {
  let asking: Promise<string | null> | null = null;
  const ask = (): Promise<string | null> => {
    const dialog = part<HTMLDialogElement>("token");
    const field = part<HTMLInputElement>("token-field");
    part("token-wrong").hidden = token() === null;
    field.value = "";
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((done) => {
      dialog.onclose = () => {
        setToken(dialog.returnValue === "ok" ? field.value.trim() : null);
        asking = null;
        done(token());
      };
    });
  };
  return () => (asking ??= ask());
}

async function start(): Promise<void> {
  showTheme();
  onTokenWanted(tokenAsker());
  part("theme").addEventListener("click", () => announce(`${toggleTheme()} colours`));
  part("open-settings").addEventListener("click", () => void openSettings());
  try {
    const about = await model();
    setUpSettings(about);
    new App(about);
  } catch (error) {
    part("main").replaceChildren(
      h("h1", {}, "Not connected"),
      h("p", {}, error instanceof Error ? error.message : String(error)),
      button("Try again", () => location.reload(), { class: "primary" }),
    );
  }
}

void start();
