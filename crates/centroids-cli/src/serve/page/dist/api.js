export class Problem extends Error {
    status;
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}
const TOKEN = "centroids.token";
let askForToken = async () => null;
export function onTokenWanted(ask) {
    askForToken = ask;
}
export function token() {
    return sessionStorage.getItem(TOKEN);
}
export function setToken(value) {
    if (value)
        sessionStorage.setItem(TOKEN, value);
    else
        sessionStorage.removeItem(TOKEN);
}
export const model = () => json("GET", "/v1/model");
export function search(picture, settings) {
    const form = new FormData();
    form.append("k", String(settings.k));
    form.append("unit", settings.unit);
    if (settings.camera)
        form.append("camera", settings.camera);
    form.append("image", picture, picture.name);
    return json("POST", "/v1/search", form);
}
export async function explain(picture, pid) {
    const form = new FormData();
    form.append("pid", String(pid));
    form.append("image", picture, picture.name);
    return (await request("POST", "/v1/explain", form)).blob();
}
export function classes(page) {
    const query = new URLSearchParams();
    if (page.search)
        query.set("search", page.search);
    if (page.after !== null && page.after !== undefined)
        query.set("after", String(page.after));
    query.set("limit", String(page.limit ?? 60));
    return json("GET", `/v1/classes?${query}`);
}
export const classDetail = (name) => json("GET", classPath(name));
export function addTo(name, pictures) {
    const form = new FormData();
    for (const picture of pictures)
        form.append("image", picture, picture.name);
    return json("PUT", classPath(name), form);
}
export const deleteMember = (id, leaving = false) => request("DELETE", `/v1/members/${id}`, undefined, leaving);
export const deleteClass = (name, leaving = false) => request("DELETE", classPath(name), undefined, leaving);
export const relabel = (ids, name) => json("POST", "/v1/members/relabel", { ids, class: name });
export const merge = (names, into) => json("POST", "/v1/classes/merge", { classes: names, into });
export const quarantine = (ids, quarantined) => json("POST", "/v1/members/quarantine", { ids, quarantined });
export const pictureBlob = async (url) => (await request("GET", url)).blob();
const classPath = (name) => `/v1/classes/${encodeURIComponent(name)}`;
async function json(method, url, body) {
    return (await request(method, url, body)).json();
}
const PATIENCE = 4;
async function request(method, url, body, keepalive = false) {
    for (let attempt = 0;; attempt += 1) {
        const sent = token();
        const response = await send(method, url, body, keepalive);
        if (response.ok)
            return response;
        if (response.status === 401 && !keepalive) {
            if (token() !== sent || (await askForToken()))
                continue;
        }
        const busy = response.status === 429 || response.status === 503;
        if (!busy || attempt >= PATIENCE || keepalive)
            throw await problem(response);
        await pause(Number(response.headers.get("retry-after")) || 1);
    }
}
async function send(method, url, body, keepalive) {
    const headers = new Headers({ accept: "application/json, image/*;q=0.9" });
    const bearer = token();
    if (bearer)
        headers.set("authorization", `Bearer ${bearer}`);
    const options = { method, headers, keepalive };
    if (body instanceof FormData) {
        options.body = body;
    }
    else if (body) {
        headers.set("content-type", "application/json");
        options.body = JSON.stringify(body);
    }
    try {
        return await fetch(url, options);
    }
    catch {
        throw new Problem(0, "The server does not answer. Is it still running?");
    }
}
async function problem(response) {
    const text = await response.text();
    let message = "";
    try {
        const { title, detail } = JSON.parse(text);
        message = detail || title || "";
    }
    catch {
        message = text.slice(0, 200);
    }
    if (response.status === 403 && !message)
        message = "This token may look, but not change anything.";
    return new Problem(response.status, message || `The server answered ${response.status}.`);
}
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
