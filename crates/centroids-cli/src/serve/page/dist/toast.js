import { announce, button, h, part } from "./dom.js";
export function tell(message, options = {}) {
    const { kind = "info", choices = [], seconds = kind === "error" ? 12 : 6, ended } = options;
    let timer = 0;
    const close = () => {
        clearTimeout(timer);
        toast.remove();
    };
    const wait = () => {
        clearTimeout(timer);
        timer = window.setTimeout(() => {
            close();
            ended?.();
        }, seconds * 1000);
    };
    const act = (choice) => () => {
        close();
        choice.act();
    };
    const toast = h("li", {
        class: `toast ${kind}`,
        onpointerenter: () => clearTimeout(timer),
        onpointerleave: wait,
        onfocusin: () => clearTimeout(timer),
        onfocusout: wait,
    }, h("span", {}, message), ...choices.map((choice) => button(choice.label, act(choice), { class: "plain" })), ...(choices.length ? [] : [button("×", close, { class: "plain", "aria-label": "Close message" })]));
    part("toasts").append(toast);
    announce(message);
    wait();
    return { close };
}
export function tellError(error) {
    tell(error instanceof Error ? error.message : String(error), { kind: "error" });
}
