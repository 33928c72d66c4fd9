// All classes: searched by name, loaded page by page.

import { classes, model, type ClassInfo, type Model } from "./api.js";
import { isDoomed } from "./deletions.js";
import { announce, button, h } from "./dom.js";
import { galleryPicture } from "./picture.js";
import { count, nameOf } from "./text.js";
import { tellError } from "./toast.js";

export class ClassesView {
  readonly title = "Classes";
  readonly node: HTMLElement;
  private readonly grid = h("ul", { class: "cards small" });
  private readonly more = button("Show more", () => void this.load(), { class: "more", hidden: true });
  private readonly total = h("p", { class: "soft" });
  private readonly field = h("input", {
    type: "search",
    id: "class-search",
    placeholder: "Search by name",
    "aria-label": "Search classes by name",
    autocomplete: "off",
    oninput: () => this.typed(),
  });
  private next: number | null = null;
  private asked = 0;
  private timer = 0;

  constructor(private about: Model) {
    this.node = h(
      "div",
      { class: "view" },
      h("header", { class: "head" }, h("h1", { tabindex: "-1", class: "grow" }, "Classes"), this.field),
      this.total,
      this.grid,
      this.more,
    );
  }

  /** Loads anew: what was shown may have changed. */
  async shown(): Promise<void> {
    this.next = null;
    await this.load(true);
  }

  focusSearch(): void {
    this.field.focus();
  }

  private typed(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.shown(), 150);
  }

  private async load(anew = false): Promise<void> {
    const asked = ++this.asked;
    const search = this.field.value.trim();
    try {
      const [page, about] = await Promise.all([classes({ search, after: this.next }), anew ? model() : this.about]);
      if (asked !== this.asked) return;
      this.about = about;
      const cards = page.classes.filter((one) => !isDoomed({ className: nameOf(one) })).map(card);
      if (anew) this.grid.replaceChildren(...cards);
      else this.grid.append(...cards);
      this.next = page.next;
      this.more.hidden = page.next === null;
      this.summarise(search);
      if (!anew) cards[0]?.querySelector("a")?.focus();
    } catch (error) {
      tellError(error);
    }
  }

  private summarise(search: string): void {
    const shown = this.grid.childElementCount;
    const { gallery } = this.about;
    const most = this.next === null ? count(shown, "class", "classes") : `the first ${count(shown, "class", "classes")}`;
    if (search) this.total.textContent = shown ? `${most} with “${search}”` : `No class is called “${search}”.`;
    else if (shown) this.total.textContent = this.next === null ? most : `${most} of ${gallery.classes.toLocaleString("en")}`;
    else this.total.textContent = "No classes yet. Search for a picture and make a class of it.";
    announce(this.total.textContent);
  }
}

function card(one: ClassInfo): HTMLElement {
  const name = nameOf(one);
  const facts = [
    count(one.members, "image"),
    one.cameras > 0 && count(one.cameras, "camera"),
    one.quarantined > 0 && `${one.quarantined} in quarantine`,
  ];
  return h(
    "li",
    { class: "card class" },
    h("div", { class: "frame" }, galleryPicture(one.example?.image, "")),
    h("h2", {}, h("a", { href: `#/classes/${encodeURIComponent(name)}`, class: "cover" }, name)),
    h("p", { class: "soft facts" }, ...facts.map((fact) => fact && h("span", {}, fact))),
  );
}
