import { classDetail, explain } from "./api.js";
import { button, h } from "./dom.js";
import { galleryPicture, showBlob } from "./picture.js";
import { distance, fileName, nameOf, percent } from "./text.js";
import { tellError } from "./toast.js";
const EXAMPLES = 12;
export class HitCard {
    hit;
    context;
    node;
    frame = h("div", { class: "frame" });
    more = h("div", { class: "strip", hidden: true });
    name;
    map = null;
    constructor(hit, context) {
        this.hit = hit;
        this.context = context;
        this.name = nameOf(hit);
        this.frame.append(this.example());
        const { add } = context;
        this.node = h("li", { class: "card hit" }, this.frame, h("h3", {}, h("span", { class: "rank", "aria-label": `Rank ${hit.rank}` }, String(hit.rank)), h("a", { href: `#/classes/${encodeURIComponent(this.name)}` }, this.name)), this.nearness(), h("div", { class: "row small" }, this.toggle("Why", `Why ${this.name}`, (on) => this.why(on)), this.toggle("More", `More examples of ${this.name}`, (on) => this.examples(on)), add && button("Add", () => void add(this.name), { "aria-label": `Add the picture to ${this.name}` })), this.more);
    }
    example() {
        const { example } = this.hit;
        const picture = galleryPicture(example?.image, `Example of ${this.name}`);
        if (example)
            picture.title = this.context.images ? example.key : fileName(example.key);
        return picture;
    }
    nearness() {
        const { hit, context } = this;
        const part = hit.confidence ?? (context.farthest > 0 ? hit.distance / context.farthest : 0);
        const fill = h("span", {});
        fill.style.width = `${Math.max(0, Math.min(1, part)) * 100}%`;
        const near = `distance ${distance(hit.distance)}`;
        const sure = hit.confidence !== null && percent(hit.confidence);
        return h("div", { class: "nearness" }, h("span", { class: hit.confidence === null ? "bar far" : "bar", "aria-hidden": "true" }, fill), h("p", {}, h("b", {}, sure || near), sure && h("span", { class: "soft" }, near)), h("p", { class: "soft" }, context.margin === null ? "" : `next ${distance(context.margin)} farther`));
    }
    toggle(label, description, change) {
        const toggle = button(label, async () => {
            const on = toggle.getAttribute("aria-pressed") !== "true";
            toggle.setAttribute("aria-pressed", String(on));
            try {
                await change(on);
            }
            catch (error) {
                toggle.setAttribute("aria-pressed", "false");
                tellError(error);
            }
        }, { "aria-pressed": "false", "aria-label": description });
        return toggle;
    }
    async why(on) {
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
    async examples(on) {
        this.more.hidden = !on;
        if (!on || this.more.childElementCount)
            return;
        const { members } = await classDetail(this.name);
        const shown = members.filter((member) => !member.quarantined).slice(0, EXAMPLES);
        this.more.replaceChildren(...shown.map((member) => {
            const picture = galleryPicture(member.image, fileName(member.key), 96);
            picture.title = fileName(member.key);
            return picture;
        }), h("a", { href: `#/classes/${encodeURIComponent(this.name)}` }, `All ${members.length}`));
    }
}
