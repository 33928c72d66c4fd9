import { pictureBlob, token } from "./api.js";
import { h } from "./dom.js";
const arriving = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
        if (!isIntersecting)
            continue;
        arriving.unobserve(target);
        void load(target);
    }
}, { rootMargin: "200px" });
export function galleryPicture(image, alt, size = 256) {
    if (!image)
        return gone(alt);
    const picture = h("img", { alt, "data-url": `${image}?size=${size}`, decoding: "async" });
    picture.addEventListener("error", () => {
        if (picture.src)
            picture.replaceWith(gone(alt));
    });
    arriving.observe(picture);
    return picture;
}
async function load(picture) {
    const url = picture.dataset["url"] ?? "";
    if (!token()) {
        picture.src = url;
        return;
    }
    try {
        showBlob(picture, await pictureBlob(url));
    }
    catch {
        picture.replaceWith(gone(picture.alt));
    }
}
function gone(alt) {
    return h("span", { class: "gone", role: "img", "aria-label": `${alt}: no picture` }, "no picture");
}
export function showBlob(picture, blob) {
    const url = URL.createObjectURL(blob);
    picture.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
    picture.src = url;
}
export function picturesIn(data) {
    const files = data instanceof DataTransfer ? data.files : (data ?? []);
    return [...files].filter((file) => file.type.startsWith("image/") || /\.(jpe?g|png|webp|bmp|gif|tiff?)$/i.test(file.name));
}
export function pickPictures(from = "files") {
    const input = h("input", { type: "file", accept: "image/*", multiple: from === "files", hidden: true });
    if (from === "camera")
        input.setAttribute("capture", "environment");
    document.body.append(input);
    return new Promise((done) => {
        const end = () => {
            input.remove();
            done(picturesIn(input.files));
        };
        input.addEventListener("change", end);
        input.addEventListener("cancel", end);
        input.click();
    });
}
