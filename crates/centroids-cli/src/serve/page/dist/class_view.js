import * as api from "./api.js";
import { chooseClass } from "./choose_class.js";
import { deleteLater, isDoomed, settleDeletions } from "./deletions.js";
import { announce, button, h } from "./dom.js";
import { showMember } from "./member_dialog.js";
import { galleryPicture, pickPictures } from "./picture.js";
import { addPictures } from "./search_view.js";
import { spreadChart } from "./spread_chart.js";
import { count, distance, fileName } from "./text.js";
import { tell, tellError } from "./toast.js";
const PAGE = 120;
export class ClassView {
    name;
    model;
    title;
    node = h("div", { class: "view" });
    selected = new Set();
    tools = h("div", { class: "bar tools", role: "toolbar", "aria-label": "Selected images", hidden: true });
    detail = null;
    limit = PAGE;
    constructor(name, model) {
        this.name = name;
        this.model = model;
        this.title = name;
    }
    async shown() {
        await this.refresh();
    }
    async take(pictures) {
        if (pictures.length && (await addPictures(this.name, pictures, () => this.refresh())))
            await this.refresh();
    }
    async refresh() {
        try {
            this.detail = await api.classDetail(this.name);
        }
        catch (error) {
            const gone = error instanceof api.Problem && error.status === 404;
            if (!gone)
                tellError(error);
            this.node.replaceChildren(h("h1", { tabindex: "-1" }, this.name), h("p", {}, gone ? "There is no such class (any more)." : "The class cannot be shown."), h("p", {}, h("a", { href: "#/classes" }, "All classes")));
            return;
        }
        const there = new Set(this.detail.members.map((member) => member.id));
        this.selected.forEach((id) => there.has(id) || this.selected.delete(id));
        this.draw();
    }
    draw() {
        const members = this.members();
        const shown = members.slice(0, this.limit);
        const rest = members.length - shown.length;
        const spread = this.detail?.spread;
        const focused = document.activeElement?.id;
        this.node.replaceChildren(this.head(members), spread ? spreadChart(members, spread, (member) => this.open(member)) : "", this.tools, h("ul", { class: "cards members" }, ...shown.map((member) => this.card(member))), rest > 0
            ? button(`Show ${Math.min(rest, PAGE)} more of ${rest}`, () => ((this.limit += PAGE), this.draw()), { class: "more" })
            : "");
        this.showTools();
        if (focused)
            document.getElementById(focused)?.focus();
    }
    members() {
        const there = this.detail?.members.filter((member) => !isDoomed({ member: member.id })) ?? [];
        return there.sort((a, b) => (b.distance ?? -1) - (a.distance ?? -1) || a.id - b.id);
    }
    head(members) {
        const counted = members.filter((member) => !member.quarantined).length;
        const outliers = members.filter((member) => member.outlier && !member.quarantined).length;
        const facts = [
            count(counted, "image"),
            members.length > counted && `${members.length - counted} in quarantine`,
            outliers > 0 && count(outliers, "outlier"),
        ];
        return h("header", { class: "head" }, h("div", { class: "grow" }, h("p", { class: "soft" }, h("a", { href: "#/classes" }, "Classes"), " /"), h("h1", { tabindex: "-1" }, this.name), h("p", { class: "soft" }, facts.filter(Boolean).join(" · "))), this.model.writable &&
            h("div", { class: "row" }, button("Add pictures", () => void pickPictures().then((pictures) => this.take(pictures))), button("Merge or rename", () => void this.merge()), button("Delete class", () => this.deleteClass(), { class: "danger" })));
    }
    card(member) {
        const file = fileName(member.key);
        const marks = [
            member.quarantined && h("span", { class: "mark" }, "Quarantine"),
            member.outlier && !member.quarantined && h("span", { class: "mark warn" }, "Outlier"),
        ];
        const select = h("input", {
            type: "checkbox",
            id: `select-${member.id}`,
            "aria-label": `Select ${file}`,
            checked: this.selected.has(member.id),
            onchange: () => this.select(member.id, select.checked),
        });
        return h("li", { class: `card member${member.quarantined ? " out" : ""}` }, h("button", { type: "button", class: "frame", "aria-label": `Show ${file}`, onclick: () => this.open(member) }, galleryPicture(member.image, "")), this.model.writable && h("label", { class: "tick" }, select), h("p", { class: "soft" }, member.distance === null ? "" : distance(member.distance), ...marks));
    }
    select(id, on) {
        if (on)
            this.selected.add(id);
        else
            this.selected.delete(id);
        this.showTools();
    }
    showTools() {
        const chosen = this.members().filter((member) => this.selected.has(member.id));
        const ids = chosen.map((member) => member.id);
        const allOut = chosen.every((member) => member.quarantined);
        this.tools.hidden = chosen.length === 0;
        this.tools.replaceChildren(h("span", { class: "grow" }, `${count(chosen.length, "image")} selected`), button("Move", () => void this.relabel(ids)), button(allOut ? "Release" : "Quarantine", () => void this.quarantine(ids, !allOut)), button("Delete", () => this.deleteMembers(chosen), { class: "danger" }), button("Select none", () => (this.selected.clear(), this.draw()), { class: "plain" }));
    }
    open(member) {
        const ids = [member.id];
        showMember(member, this.model.writable && {
            Move: () => void this.relabel(ids),
            [member.quarantined ? "Release" : "Quarantine"]: () => void this.quarantine(ids, !member.quarantined),
            Delete: () => this.deleteMembers([member]),
        });
    }
    deleteMembers(members) {
        const [only] = members;
        const what = members.length === 1 && only ? fileName(only.key) : count(members.length, "image");
        deleteLater({ members: members.map((member) => member.id) }, `${what} will be deleted.`);
        this.draw();
    }
    deleteClass() {
        const images = count(this.members().length, "image");
        deleteLater({ className: this.name }, `${this.name} with ${images} will be deleted.`);
        location.hash = "#/classes";
    }
    async relabel(ids) {
        const into = await chooseClass({ title: `Move ${count(ids.length, "image")}`, action: "Move", without: this.name });
        if (into && into !== this.name)
            await this.move(ids, into, () => this.refresh());
    }
    async merge() {
        const into = await chooseClass({ title: `Merge ${this.name} into a class, or rename it`, action: "Merge", without: this.name });
        if (!into || into === this.name)
            return;
        const ids = this.detail?.members.map((member) => member.id) ?? [];
        await this.move(ids, into, () => (location.hash = `#/classes/${encodeURIComponent(into)}`), true);
    }
    async move(ids, into, moved, all = false) {
        const undo = () => this.change(() => api.relabel(ids, this.name), () => {
            announce("Undone.");
            location.hash = `#/classes/${encodeURIComponent(this.name)}`;
            return this.refresh();
        });
        await this.change(() => (all ? api.merge([this.name], into) : api.relabel(ids, into)), () => {
            ids.forEach((id) => this.selected.delete(id));
            tell(`${count(ids.length, "image")} moved to ${into}.`, { choices: [{ label: "Undo", act: undo }], seconds: 10 });
            return moved();
        });
    }
    async quarantine(ids, out) {
        const what = out ? "in quarantine: kept, but not counted" : "released";
        await this.change(() => api.quarantine(ids, out), () => {
            const act = () => this.change(() => api.quarantine(ids, !out), () => this.refresh());
            tell(`${count(ids.length, "image")} ${what}.`, { choices: [{ label: "Undo", act }] });
            return this.refresh();
        });
    }
    async change(ask, then) {
        try {
            await settleDeletions();
            await ask();
            await then();
        }
        catch (error) {
            tellError(error);
        }
    }
}
