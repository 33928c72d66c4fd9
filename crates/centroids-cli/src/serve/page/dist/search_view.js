import { addTo, deleteMember, search } from "./api.js";
import { chooseClass } from "./choose_class.js";
import { settleDeletions } from "./deletions.js";
import { announce, button, h } from "./dom.js";
import { HitCard } from "./hit_card.js";
import { pickPictures, showBlob } from "./picture.js";
import { onSettings, settings } from "./settings.js";
import { count, distance, nameOf, percent } from "./text.js";
import { tell, tellError } from "./toast.js";
export class SearchView {
    model;
    title = "Search";
    node;
    sections = h("div", { id: "results" });
    many = h("div", { class: "bar", hidden: true });
    queries = [];
    constructor(model) {
        this.model = model;
        this.node = h("div", { class: "view search" }, this.intake(), this.many, this.sections);
        onSettings((changed) => {
            if ("k" in changed || "unit" in changed || "camera" in changed)
                void this.searchAgain();
        });
    }
    async take(pictures) {
        if (!pictures.length) {
            tell("That is no picture. JPEG, PNG and WebP are understood.", { kind: "error" });
            return;
        }
        this.queries = pictures.map((picture) => new Query(picture, this.model));
        this.sections.replaceChildren(...this.queries.map((query) => query.node));
        this.node.classList.add("answered");
        this.showMany();
        await this.searchAgain();
        if (!this.node.isConnected)
            return;
        scrollTo(0, 0);
    }
    async pick(from = "files") {
        const pictures = await pickPictures(from);
        if (pictures.length)
            await this.take(pictures);
    }
    intake() {
        return h("section", { class: "intake", "aria-label": "Pictures to search for" }, h("h1", { tabindex: "-1" }, "What is this?"), h("p", {}, "Drop pictures anywhere on this page, paste them, or choose some."), h("div", { class: "row" }, button("Choose pictures", () => void this.pick(), { class: "primary" }), button("Take a photo", () => void this.pick("camera"), { class: "touch" })), this.model.gallery.classes === 0 &&
            h("p", { class: "note" }, "The gallery is empty. Choose pictures of one thing and make a class of them."), this.model.gallery.classes > 0 && h("p", { class: "soft" }, `${gallerySize(this.model)} to compare with`));
    }
    showMany() {
        const { writable } = this.model;
        this.many.hidden = this.queries.length < 2;
        this.many.replaceChildren(h("span", { class: "grow" }, count(this.queries.length, "picture")), ...(writable ? [button("Add all to a class", () => void this.addAll())] : []));
    }
    async searchAgain() {
        await settleDeletions();
        const waiting = [...this.queries];
        const worker = async () => {
            for (let next = waiting.shift(); next; next = waiting.shift())
                await next.search();
        };
        await Promise.all(Array.from({ length: 4 }, worker));
    }
    async addAll() {
        const pictures = this.queries.map((query) => query.picture);
        const name = await chooseClass({ title: `Add ${count(pictures.length, "picture")} to a class`, action: "Add" });
        if (name && (await addPictures(name, pictures, () => this.searchAgain())))
            await this.searchAgain();
    }
}
const gallerySize = ({ gallery }) => `${count(gallery.members, "image")} of ${count(gallery.classes, "class", "classes")}`;
export async function addPictures(name, pictures, changed) {
    try {
        await settleDeletions();
        const { added, already_there, unreadable } = await addTo(name, pictures);
        const undo = async () => {
            try {
                await Promise.all(added.map(({ id }) => deleteMember(id)));
                announce("Undone.");
            }
            catch (error) {
                tellError(error);
            }
            changed();
        };
        if (added.length) {
            tell(`${count(added.length, "picture")} added to ${name}.`, { choices: [{ label: "Undo", act: undo }], seconds: 10 });
        }
        if (already_there.length)
            tell(`${count(already_there.length, "picture")} already in the gallery: left as it is.`);
        for (const { name: file, reason } of unreadable)
            tell(`${file}: ${reason}`, { kind: "error" });
        return added.length > 0;
    }
    catch (error) {
        tellError(error);
        return false;
    }
}
class Query {
    picture;
    model;
    node;
    verdict = h("div", { class: "verdict", "aria-live": "polite" });
    cards = h("ol", { class: "cards" });
    run = 0;
    constructor(picture, model) {
        this.picture = picture;
        this.model = model;
        const image = h("img", { alt: `Your picture ${picture.name}` });
        showBlob(image, picture);
        this.node = h("section", { class: "query", "aria-label": `Results for ${picture.name}` }, h("div", { class: "asked" }, h("div", { class: "frame" }, image), this.verdict), this.cards);
    }
    async search() {
        const run = ++this.run;
        this.node.setAttribute("aria-busy", "true");
        if (!this.verdict.childElementCount)
            this.verdict.replaceChildren(h("p", { class: "soft" }, "Searching …"));
        try {
            const { results, unit } = await search(this.picture, settings);
            const found = results[0];
            if (run === this.run && found)
                this.show(found, unit === "instance");
        }
        catch (error) {
            if (run !== this.run)
                return;
            const message = error instanceof Error ? error.message : String(error);
            this.cards.replaceChildren();
            this.verdict.replaceChildren(h("h2", { class: "bad" }, "No answer"), h("p", {}, message), button("Try again", () => void this.search()));
        }
        finally {
            if (run === this.run)
                this.node.removeAttribute("aria-busy");
        }
    }
    show(found, images) {
        const [first] = found.hits;
        this.verdict.replaceChildren(...this.heading(found), this.actions(found));
        const add = this.model.writable ? (name) => this.add(name) : null;
        this.cards.replaceChildren(...found.hits.map((hit, i) => {
            const next = found.hits[i + 1];
            const margin = next ? next.distance - hit.distance : null;
            const farthest = found.hits.at(-1)?.distance ?? 1;
            return new HitCard(hit, { picture: this.picture, margin, farthest, add, images }).node;
        }));
        this.node.classList.toggle("unknown", found.unknown);
        announce(first ? `${this.picture.name}: ${found.unknown ? "unknown, nearest is " : ""}${nameOf(first)}` : "Nothing found.");
    }
    heading(found) {
        const [first, second] = found.hits;
        if (!first)
            return [h("h2", {}, "Nothing to compare with"), h("p", {}, "The gallery has no class that counts here.")];
        const margin = found.margin ?? (second ? second.distance - first.distance : null);
        const next = second && margin !== null ? `, ${distance(margin)} ahead of ${nameOf(second)}` : "";
        if (found.unknown) {
            return [
                h("h2", {}, h("span", { class: "badge" }, "Unknown"), " No class is near enough"),
                h("p", {}, `The nearest is ${nameOf(first)} at distance ${distance(first.distance)}${next}.`),
            ];
        }
        const sure = first.confidence === null ? "" : `${percent(first.confidence)} confident, `;
        return [
            h("h2", {}, nameOf(first)),
            h("p", {}, `${sure}distance ${distance(first.distance)}${next}.`),
        ];
    }
    actions(found) {
        if (!this.model.writable)
            return h("div");
        const [first] = found.hits;
        const name = first && nameOf(first);
        return h("div", { class: "row" }, !!name && !found.unknown && button(`Add to ${name}`, () => void this.add(name)), button(found.unknown || !name ? "Make a class of it" : "Add to another class", () => void this.ask(), {
            class: found.unknown || !name ? "primary" : "",
        }));
    }
    async ask() {
        const name = await chooseClass({ title: "Add this picture to a class", action: "Add" });
        if (name)
            await this.add(name);
    }
    async add(name) {
        if (await addPictures(name, [this.picture], () => this.search()))
            await this.search();
    }
}
