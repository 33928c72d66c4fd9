// Short messages at the lower edge, with what can be done about them.

import { announce, button, h, part } from "./dom.js";

export interface Toast {
  close(): void;
}

interface Choice {
  label: string;
  act: () => unknown;
}

/** Shows a message for a while; it stays as long as it is pointed at or focused. */
export function tell(
  message: string,
  options: { kind?: "info" | "error"; choices?: Choice[]; seconds?: number; ended?: () => void } = {},
): Toast {
  const { kind = "info", choices = [], seconds = kind === "error" ? 12 : 6, ended } = options;
  let timer = 0;
  const close = (): void => {
    clearTimeout(timer);
    toast.remove();
  };
  const wait = (): void => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      close();
      ended?.();
    }, seconds * 1000);
  };
  const act = (choice: Choice) => (): void => {
    close();
    choice.act();
  };
  const toast = h(
    "li",
    {
      class: `toast ${kind}`,
      onpointerenter: () => clearTimeout(timer),
      onpointerleave: wait,
      onfocusin: () => clearTimeout(timer),
      onfocusout: wait,
    },
    h("span", {}, message),
    ...choices.map((choice) => button(choice.label, act(choice), { class: "plain" })),
    ...(choices.length ? [] : [button("×", close, { class: "plain", "aria-label": "Close message" })]),
  );
  part("toasts").append(toast);
  announce(message);
  wait();
  return { close };
}

/** Shows what went wrong. */
export function tellError(error: unknown): void {
  tell(error instanceof Error ? error.message : String(error), { kind: "error" });
}
