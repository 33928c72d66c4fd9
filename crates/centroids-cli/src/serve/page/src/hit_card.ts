// A class that was found: its example, how near it is, why, and more of its pictures.

import { classDetail, explain, type Hit } from "./api.js";
import { button, h } from "./dom.js";
import { galleryPicture, showBlob } from "./picture.js";
import { distance, fileName, nameOf, percent } from "./text.js";
import { tellError } from "./toast.js";

/** Examples shown when a card is opened. */
const EXAMPLES = 12;

interface Context {
  picture: File;
  /** To the next hit. */
  margin: number | null;
  /** Distance of the last hit: the scale of the bars. */
  farthest: number;
  add: ((name: string) => Promise<void>) | null;
  /** Hits are images, of which several may have one class. */
  images: boolean;
}

export class HitCard {
  readonly node: HTMLElement;
  private readonly frame = h("div", { class: "frame" });
  private readonly more = h("div", { class: "strip", hidden: true });
  private readonly name: string;
  private map: HTMLElement | null = null;

  constructor(
    private readonly hit: Hit,
    private readonly context: Context,
  ) {
    this.name = nameOf(hit);
    this.frame.append(this.example());
    const { add } = context;
    this.node = h(
      "li",
      { class: "card hit" },
      this.frame,
      h(
        "h3",
        {},
        h("span", { class: "rank", "aria-label": `Rank ${hit.rank}` }, String(hit.rank)),
        h("a", { href: `#/classes/${encodeURIComponent(this.name)}` }, this.name),
      ),
      this.nearness(),
      h(
        "div",
        { class: "row small" },
        this.toggle("Why", `Why ${this.name}`, (on) => this.why(on)),
        this.toggle("More", `More examples of ${this.name}`, (on) => this.examples(on)),
        add && button("Add", () => void add(this.name), { "aria-label": `Add the picture to ${this.name}` }),
      ),
      this.more,
    );
  }

  private example(): HTMLElement {
    const { example } = this.hit;
    const picture = galleryPicture(example?.image, `Example of ${this.name}`);
    if (example) picture.title = this.context.images ? example.key : fileName(example.key);
    return picture;
  }

  private nearness(): HTMLElement {
    const { hit, context } = this;
    const part = hit.confidence ?? (context.farthest > 0 ? hit.distance / context.farthest : 0);
    const fill = h("span", {});
    fill.style.width = `${Math.max(0, Math.min(1, part)) * 100}%`; // the object model is no inline style
    const near = `distance ${distance(hit.distance)}`;
    const sure = hit.confidence !== null && percent(hit.confidence);
    return h(
      "div",
      { class: "nearness" },
      h("span", { class: hit.confidence === null ? "bar far" : "bar", "aria-hidden": "true" }, fill),
      h("p", {}, h("b", {}, sure || near), sure && h("span", { class: "soft" }, near)),
      h("p", { class: "soft" }, context.margin === null ? "" : `next ${distance(context.margin)} farther`),
    );
  }

  private toggle(label: string, description: string, change: (on: boolean) => Promise<void>): HTMLElement {
    const toggle = button(
      label,
      async () => {
        const on = toggle.getAttribute("aria-pressed") !== "true";
        toggle.setAttribute("aria-pressed", String(on));
        try {
          await change(on);
        } catch (error) {
          toggle.setAttribute("aria-pressed", "false");
          tellError(error);
        }
      },
      { "aria-pressed": "false", "aria-label": description },
    );
    return toggle;
  }

  /** Shows in the place of the example what in the picture speaks for this class. */
  private async why(on: boolean): Promise<void> {
    if (!on) {
      this.frame.replaceChildren(this.example());
      return;
    }
    if (!this.map) {
      const image = h("img", { alt: `Your picture; red is what speaks for ${this.name}` });
      showBlob(image, await explain(this.context.picture, this.hit.pid));
      this.map = h("figure", {}, image, h("figcaption", {}, "red for, blue against"));
    }
    this.frame.replaceChildren(this.map);
  }

  private async examples(on: boolean): Promise<void> {
    this.more.hidden = !on;
    if (!on || this.more.childElementCount) return;
    const { members } = await classDetail(this.name);
    const shown = members.filter((member) => !member.quarantined).slice(0, EXAMPLES);
    this.more.replaceChildren(
      ...shown.map((member) => {
        const picture = galleryPicture(member.image, fileName(member.key), 96);
        picture.title = fileName(member.key);
        return picture;
      }),
      h("a", { href: `#/classes/${encodeURIComponent(this.name)}` }, `All ${members.length}`),
    );
  }
}
