export function h(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    set(element, attributes);
    element.append(...present(children));
    return element;
}
export function svg(tag, attributes, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    set(element, attributes);
    element.append(...present(children));
    return element;
}
function set(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) {
        if (typeof value === "function") {
            element.addEventListener(name.replace(/^on/, ""), value);
        }
        else if (value !== false && value !== null && value !== undefined) {
            element.setAttribute(name, value === true ? "" : String(value));
        }
    }
}
function present(children) {
    return children.filter((child) => child !== false && child !== null && child !== undefined);
}
export function button(label, click, attributes = {}) {
    return h("button", { type: "button", onclick: click, ...attributes }, label);
}
export function part(id) {
    const element = document.getElementById(id);
    if (!element)
        throw new Error(`index.html has no #${id}`);
    return element;
}
export function announce(text) {
    const status = part("status");
    status.textContent = "";
    requestAnimationFrame(() => (status.textContent = text));
}
