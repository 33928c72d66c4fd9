// Pictures of the gallery, loaded when they come into view, and pictures a person brings.

import { pictureBlob, token } from "./api.js";
import { h } from "./dom.js";

const arriving = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      arriving.unobserve(target);
      void load(target as HTMLImageElement);
    }
  },
  { rootMargin: "200px" },
);

/** A member's picture in a frame, or an empty frame where the file is gone. */
export function galleryPicture(image: string | null | undefined, alt: string, size = 256): HTMLElement {
  if (!image) return gone(alt);
  const picture = h("img", { alt, "data-url": `${image}?size=${size}`, decoding: "async" });
  picture.addEventListener("error", () => {
    if (picture.src) picture.replaceWith(gone(alt));
  });
  arriving.observe(picture);
  return picture;
}

async function load(picture: HTMLImageElement): Promise<void> {
  const url = picture.dataset["url"] ?? "";
  if (!token()) {
    picture.src = url;
    return;
  }
  try {
    showBlob(picture, await pictureBlob(url));
  } catch {
    picture.replaceWith(gone(picture.alt));
  }
}

function gone(alt: string): HTMLElement {
  return h("span", { class: "gone", role: "img", "aria-label": `${alt}: no picture` }, "no picture");
}

/** Shows bytes in an image, and lets them go once they are decoded. */
export function showBlob(picture: HTMLImageElement, blob: Blob): void {
  const url = URL.createObjectURL(blob);
  picture.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
  picture.src = url;
}

/** The pictures among dropped, pasted or picked things. */
export function picturesIn(data: DataTransfer | FileList | null): File[] {
  const files = data instanceof DataTransfer ? data.files : (data ?? []);
  return [...files].filter((file) => file.type.startsWith("image/") || /\.(jpe?g|png|webp|bmp|gif|tiff?)$/i.test(file.name));
}

/** Opens the system's dialog for pictures, or a phone's camera. */
export function pickPictures(from: "files" | "camera" = "files"): Promise<File[]> {
  const input = h("input", { type: "file", accept: "image/*", multiple: from === "files", hidden: true });
  if (from === "camera") input.setAttribute("capture", "environment");
  document.body.append(input); // Safari forgets inputs that stand nowhere
  return new Promise((done) => {
    const end = (): void => {
      input.remove();
      done(picturesIn(input.files));
    };
    input.addEventListener("change", end);
    input.addEventListener("cancel", end);
    input.click();
  });
}
