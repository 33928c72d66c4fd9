// A dialog that asks for a class: names are completed as they are typed, a new one makes a class.

import { classes, type ClassInfo } from "./api.js";
import { h, part } from "./dom.js";
import { galleryPicture } from "./picture.js";
import { count, nameOf } from "./text.js";
import { tellError } from "./toast.js";

const SHOWN = 8;

interface Option {
  name: string;
  row: HTMLElement;
}

/** The name of the class that was chosen, or `null`. */
export function chooseClass(question: { title: string; action: string; without?: string }): Promise<string | null> {
  const dialog = part<HTMLDialogElement>("choose");
  const input = part<HTMLInputElement>("choose-name");
  part("choose-title").textContent = question.title;
  part("choose-action").textContent = question.action;
  input.value = "";
  const list = new Suggestions(input, part("choose-list"), question.without);
  void list.refresh();
  dialog.returnValue = "";
  dialog.showModal();
  input.focus();
  return new Promise((done) => {
    dialog.onclose = () => {
      list.stop();
      done(dialog.returnValue === "ok" ? input.value.trim() || null : null);
    };
    list.chosen = () => dialog.close("ok");
  });
}

/** The list under the field: an ARIA combobox with a list box. */
class Suggestions {
  chosen: () => void = () => {};
  private options: Option[] = [];
  private active = -1;
  private asked = 0;
  private timer = 0;

  constructor(
    private readonly input: HTMLInputElement,
    private readonly list: HTMLElement,
    private readonly without?: string,
  ) {
    input.oninput = () => {
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => void this.refresh(), 120);
    };
    input.onkeydown = (event) => this.key(event);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.asked += 1;
    this.input.oninput = this.input.onkeydown = null;
  }

  async refresh(): Promise<void> {
    const asked = ++this.asked;
    const typed = this.input.value.trim();
    try {
      const { classes: found } = await classes({ search: typed, limit: SHOWN + 1 });
      if (asked === this.asked) this.show(found, typed);
    } catch (error) {
      if (asked === this.asked) tellError(error);
    }
  }

  private show(found: ClassInfo[], typed: string): void {
    const others = found.filter((one) => nameOf(one) !== this.without).slice(0, SHOWN);
    this.options = others.map((one) => this.option(nameOf(one), [
      galleryPicture(one.example?.image, "", 64),
      h("span", { class: "grow" }, nameOf(one)),
      h("span", { class: "soft" }, count(one.members, "image")),
    ]));
    const taken = found.some((one) => nameOf(one) === typed);
    if (typed && !taken) {
      this.options.push(this.option(typed, [
        h("span", { class: "plus", "aria-hidden": "true" }, "+"),
        h("span", { class: "grow" }, `New class “${typed}”`),
      ]));
    }
    this.options.forEach(({ row }, i) => (row.id = `option-${i}`));
    this.list.replaceChildren(...this.options.map((option) => option.row));
    this.input.setAttribute("aria-expanded", String(this.options.length > 0));
    this.point(-1);
  }

  private option(name: string, content: Node[]): Option {
    const row = h("div", { role: "option", "aria-selected": "false" }, ...content);
    row.onclick = () => this.take(name);
    return { name, row };
  }

  private take(name: string): void {
    this.input.value = name;
    this.chosen();
  }

  private point(at: number): void {
    this.active = at;
    this.options.forEach(({ row }, i) => row.setAttribute("aria-selected", String(i === at)));
    const row = this.options[at]?.row;
    row?.scrollIntoView({ block: "nearest" });
    if (row) this.input.setAttribute("aria-activedescendant", row.id);
    else this.input.removeAttribute("aria-activedescendant");
  }

  private key(event: KeyboardEvent): void {
    const last = this.options.length - 1;
    const active = this.options[this.active];
    if (event.key === "ArrowDown") this.point(this.active >= last ? 0 : this.active + 1);
    else if (event.key === "ArrowUp") this.point(this.active <= 0 ? last : this.active - 1);
    else if (event.key === "Enter" && active) this.take(active.name);
    else return;
    event.preventDefault();
  }
}
