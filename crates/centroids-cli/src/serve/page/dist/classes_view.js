import { classes, model } from "./api.js";
import { isDoomed } from "./deletions.js";
import { announce, button, h } from "./dom.js";
import { galleryPicture } from "./picture.js";
import { count, nameOf } from "./text.js";
import { tellError } from "./toast.js";
export class ClassesView {
    about;
    title = "Classes";
    node;
    grid = h("ul", { class: "cards small" });
    more = button("Show more", () => void this.load(), { class: "more", hidden: true });
    total = h("p", { class: "soft" });
    field = h("input", {
        type: "search",
        id: "class-search",
        placeholder: "Search by name",
        "aria-label": "Search classes by name",
        autocomplete: "off",
        oninput: () => this.typed(),
    });
    next = null;
    asked = 0;
    timer = 0;
    constructor(about) {
        this.about = about;
        this.node = h("div", { class: "view" }, h("header", { class: "head" }, h("h1", { tabindex: "-1", class: "grow" }, "Classes"), this.field), this.total, this.grid, this.more);
    }
    async shown() {
        this.next = null;
        await this.load(true);
    }
    focusSearch() {
        this.field.focus();
    }
    typed() {
        clearTimeout(this.timer);
        this.timer = window.setTimeout(() => void this.shown(), 150);
    }
    async load(anew = false) {
        const asked = ++this.asked;
        const search = this.field.value.trim();
        try {
            const [page, about] = await Promise.all([classes({ search, after: this.next }), anew ? model() : this.about]);
            if (asked !== this.asked)
                return;
            this.about = about;
            const cards = page.classes.filter((one) => !isDoomed({ className: nameOf(one) })).map(card);
            if (anew)
                this.grid.replaceChildren(...cards);
            else
                this.grid.append(...cards);
            this.next = page.next;
            this.more.hidden = page.next === null;
            this.summarise(search);
            if (!anew)
                cards[0]?.querySelector("a")?.focus();
        }
        catch (error) {
            tellError(error);
        }
    }
    summarise(search) {
        const shown = this.grid.childElementCount;
        const { gallery } = this.about;
        const most = this.next === null ? count(shown, "class", "classes") : `the first ${count(shown, "class", "classes")}`;
        if (search)
            this.total.textContent = shown ? `${most} with “${search}”` : `No class is called “${search}”.`;
        else if (shown)
            this.total.textContent = this.next === null ? most : `${most} of ${gallery.classes.toLocaleString("en")}`;
        else
            this.total.textContent = "No classes yet. Search for a picture and make a class of it.";
        announce(this.total.textContent);
    }
}
function card(one) {
    const name = nameOf(one);
    const facts = [
        count(one.members, "image"),
        one.cameras > 0 && count(one.cameras, "camera"),
        one.quarantined > 0 && `${one.quarantined} in quarantine`,
    ];
    return h("li", { class: "card class" }, h("div", { class: "frame" }, galleryPicture(one.example?.image, "")), h("h2", {}, h("a", { href: `#/classes/${encodeURIComponent(name)}`, class: "cover" }, name)), h("p", { class: "soft facts" }, ...facts.map((fact) => fact && h("span", {}, fact))));
}
