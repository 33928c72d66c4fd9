// A browser as a person has it in front of them, and what they do with the page.
//
// CENTROIDS_URL is the server, CENTROIDS_GUARDED_URL one that wants the token CENTROIDS_TOKEN, PICTURES a
// folder with pictures of products that the gallery lacks (`new/…`) and has (`known/…`), SCREENSHOTS the
// folder for pictures of the page.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const { CENTROIDS_URL: url, CENTROIDS_GUARDED_URL: guarded, CENTROIDS_TOKEN: secret } = process.env;
const { PICTURES: pictures, SCREENSHOTS: screenshots = "screenshots" } = process.env;
mkdirSync(screenshots, { recursive: true });

/** How the page is looked at. */
export const LOOKS = {
  light: { viewport: { width: 1280, height: 860 }, colorScheme: "light" },
  dark: { viewport: { width: 1280, height: 860 }, colorScheme: "dark" },
  phone: { viewport: { width: 360, height: 780 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
};

export const openBrowser = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });

/** Pictures in a folder of PICTURES. */
export const picturesOf = (folder) =>
  readdirSync(join(pictures, folder)).sort().map((file) => join(pictures, folder, file));

export class Person {
  /** Looks at the page in a fresh profile. */
  static async arrive(browser, look = "light") {
    const context = await browser.newContext(LOOKS[look]);
    const page = await context.newPage();
    const person = new Person(page, look);
    page.on("pageerror", (error) => person.complaints.push(error.message));
    // A policy that is violated, a file that is missing: whatever the browser complains about.
    page.on("console", (message) => message.type() === "error" && person.complaints.push(message.text()));
    await page.goto(url);
    await page.getByRole("heading", { name: "What is this?" }).waitFor();
    return person;
  }

  constructor(page, look) {
    this.page = page;
    this.look = look;
    this.complaints = [];
  }

  /** Nothing may have gone wrong on the way. */
  async leave() {
    await this.page.context().close();
    assert.deepEqual(this.complaints, []);
  }

  button = (name) => this.page.getByRole("button", { name, exact: typeof name === "string" });
  message = (text) => this.page.locator(".toast", { hasText: text });

  async pick(files, name = "Choose pictures") {
    const chooser = this.page.waitForEvent("filechooser");
    await this.button(name).click();
    await (await chooser).setFiles(files);
  }

  async search(files) {
    await this.pick(files);
    await this.settled();
  }

  /** Waits until every picture has its answer. */
  async settled() {
    await this.page.locator(".query .hit").first().waitFor();
    await this.page.waitForFunction(() => !document.querySelector(".query[aria-busy]"));
  }

  /** Answers the dialog that asks for a class. */
  async nameClass(name) {
    await this.page.getByLabel("Name of the class").fill(name);
    await this.page.locator("#choose-action").click();
  }

  async openClass(name) {
    await this.page.goto(`${url}/#/classes/${encodeURIComponent(name)}`);
    await this.page.getByRole("heading", { name, exact: true }).waitFor();
  }

  /** The name of the nearest class. */
  best = () => this.page.locator(".hit h3 a").first().textContent();

  /** Keeps a picture of what is seen and asks axe whether everybody can use it. */
  async inspect(view) {
    await this.page.waitForLoadState("networkidle");
    const [needed, there] = await this.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(needed <= there, `${view}, ${this.look}: ${needed} pixels wide, ${there} are there`);
    await this.page.screenshot({ path: join(screenshots, `${view}-${this.look}.png`) });
    await this.page.evaluate(axe);
    const { violations } = await this.page.evaluate(() => window.axe.run());
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(", ")}`);
    assert.deepEqual(found, [], `${view}, ${this.look}`);
  }
}
