// The server's routes with their types. Everything the page knows of the server is in this file.

export type Unit = "centroid" | "nearest" | "instance";

export interface Model {
  name: string;
  fingerprint: string;
  dim: number;
  height: number;
  width: number;
  gallery: { classes: number; members: number; quarantined: number; cameras: number; revision: number };
  auth: "none" | "token";
  calibrated: boolean;
  writable: boolean;
}

export interface Example {
  id: number;
  key: string;
  image: string | null;
}

export interface Hit {
  rank: number;
  pid: number;
  name: string | null;
  distance: number;
  confidence: number | null;
  example: Example | null;
}

export interface Found {
  query: string | null;
  unknown: boolean;
  margin: number | null;
  hits: Hit[];
}

export interface ClassInfo {
  pid: number;
  name: string | null;
  members: number;
  quarantined: number;
  cameras: number;
  example: Example | null;
}

export interface Member {
  id: number;
  key: string;
  camid: number | null;
  time: number | null;
  weight: number;
  quarantined: boolean;
  attributes: Record<string, unknown>;
  distance: number | null;
  image: string | null;
  outlier: boolean;
}

export interface ClassDetail {
  pid: number;
  name: string | null;
  members: Member[];
  spread: { mean: number; max: number } | null;
}

export interface Added {
  pid: number;
  name: string | null;
  added: { id: number; key: string }[];
  already_there: { id: number; key: string; pid: number }[];
  unreadable: { name: string; reason: string }[];
}

export interface SearchSettings {
  k: number;
  unit: Unit;
  camera: string;
}

/** What the server answered instead of a result: RFC 9457. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const TOKEN = "centroids.token";
let askForToken: () => Promise<string | null> = async () => null;

/** Sets who is asked when the server wants a token. */
export function onTokenWanted(ask: () => Promise<string | null>): void {
  askForToken = ask;
}

/** The token of this tab; it is forgotten with the tab. */
export function token(): string | null {
  return sessionStorage.getItem(TOKEN);
}

export function setToken(value: string | null): void {
  if (value) sessionStorage.setItem(TOKEN, value);
  else sessionStorage.removeItem(TOKEN);
}

export const model = (): Promise<Model> => json("GET", "/v1/model");

export function search(picture: File, settings: SearchSettings): Promise<{ unit: Unit; results: Found[] }> {
  const form = new FormData();
  form.append("k", String(settings.k));
  form.append("unit", settings.unit);
  if (settings.camera) form.append("camera", settings.camera);
  form.append("image", picture, picture.name);
  return json("POST", "/v1/search", form);
}

/** The picture with what speaks for the class over it. */
export async function explain(picture: File, pid: number): Promise<Blob> {
  const form = new FormData();
  form.append("pid", String(pid));
  form.append("image", picture, picture.name);
  return (await request("POST", "/v1/explain", form)).blob();
}

export function classes(page: { search?: string; after?: number | null; limit?: number }): Promise<{
  classes: ClassInfo[];
  next: number | null;
}> {
  const query = new URLSearchParams();
  if (page.search) query.set("search", page.search);
  if (page.after !== null && page.after !== undefined) query.set("after", String(page.after));
  query.set("limit", String(page.limit ?? 60));
  return json("GET", `/v1/classes?${query}`);
}

export const classDetail = (name: string): Promise<ClassDetail> => json("GET", classPath(name));

export function addTo(name: string, pictures: readonly File[]): Promise<Added> {
  const form = new FormData();
  for (const picture of pictures) form.append("image", picture, picture.name);
  return json("PUT", classPath(name), form);
}

/** `leaving`: the request outlives the page. */
export const deleteMember = (id: number, leaving = false): Promise<unknown> =>
  request("DELETE", `/v1/members/${id}`, undefined, leaving);

export const deleteClass = (name: string, leaving = false): Promise<unknown> =>
  request("DELETE", classPath(name), undefined, leaving);

export const relabel = (ids: number[], name: string): Promise<{ members: number }> =>
  json("POST", "/v1/members/relabel", { ids, class: name });

export const merge = (names: string[], into: string): Promise<{ members: number }> =>
  json("POST", "/v1/classes/merge", { classes: names, into });

export const quarantine = (ids: number[], quarantined: boolean): Promise<{ members: number }> =>
  json("POST", "/v1/members/quarantine", { ids, quarantined });

/** A picture of the gallery; by `fetch`, because an `<img>` cannot send the token. */
export const pictureBlob = async (url: string): Promise<Blob> => (await request("GET", url)).blob();

const classPath = (name: string): string => `/v1/classes/${encodeURIComponent(name)}`;

async function json<T>(method: string, url: string, body?: FormData | object): Promise<T> {
  return (await request(method, url, body)).json() as Promise<T>;
}

/** How often a busy server (429, 503) is asked again. */
const PATIENCE = 4;

async function request(method: string, url: string, body?: FormData | object, keepalive = false): Promise<Response> {
  for (let attempt = 0; ; attempt += 1) {
    const sent = token();
    const response = await send(method, url, body, keepalive);
    if (response.ok) return response;
    if (response.status === 401 && !keepalive) {
      // Another request may have asked in the meantime.
      if (token() !== sent || (await askForToken())) continue;
    }
    const busy = response.status === 429 || response.status === 503;
    if (!busy || attempt >= PATIENCE || keepalive) throw await problem(response);
    await pause(Number(response.headers.get("retry-after")) || 1);
  }
}

async function send(method: string, url: string, body: FormData | object | undefined, keepalive: boolean): Promise<Response> {
  const headers = new Headers({ accept: "application/json, image/*;q=0.9" });
  const bearer = token();
  if (bearer) headers.set("authorization", `Bearer ${bearer}`);
  const options: RequestInit = { method, headers, keepalive };
  if (body instanceof FormData) {
    options.body = body;
  } else if (body) {
    headers.set("content-type", "application/json");
    options.body = JSON.stringify(body);
  }
  try {
    return await fetch(url, options);
  } catch {
    throw new Problem(0, "The server does not answer. Is it still running?");
  }
}

async function problem(response: Response): Promise<Problem> {
  const text = await response.text();
  let message = "";
  try {
    const { title, detail } = JSON.parse(text) as { title?: string; detail?: string };
    message = detail || title || "";
  } catch {
    message = text.slice(0, 200);
  }
  if (response.status === 403 && !message) message = "This token may look, but not change anything.";
  return new Problem(response.status, message || `The server answered ${response.status}.`);
}

const pause = (seconds: number): Promise<void> => new Promise((done) => setTimeout(done, seconds * 1000));
