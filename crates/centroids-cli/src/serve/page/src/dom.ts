// Elements made in one line, and the few things every view does with them.

export type Child = Node | string | false | null | undefined;
type Value = string | number | boolean | null | undefined | ((event: never) => unknown);

/** An element: `onclick`-like keys listen, `true` is an attribute without value, `false` is none. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, Value> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...present(children));
  return element;
}

/** The same for drawings. */
export function svg(tag: string, attributes: Record<string, Value>, ...children: Child[]): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, attributes);
  element.append(...present(children));
  return element;
}

function set(element: Element, attributes: Record<string, Value>): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.replace(/^on/, ""), value as EventListener);
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

function present(children: Child[]): (Node | string)[] {
  return children.filter((child) => child !== false && child !== null && child !== undefined);
}

/** A button that does not send forms. */
export function button(label: string, click: () => unknown, attributes: Record<string, Value> = {}): HTMLButtonElement {
  return h("button", { type: "button", onclick: click, ...attributes }, label);
}

/** The element of the page's skeleton with this id. */
export function part<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element as T;
}

/** Says something to screen readers without showing it. */
export function announce(text: string): void {
  const status = part("status");
  status.textContent = "";
  requestAnimationFrame(() => (status.textContent = text));
}
