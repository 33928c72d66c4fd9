// What a person does with the page, in a real browser against a real server.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { after, before, test } from "node:test";
import { LOOKS, Person, guarded, openBrowser, picturesOf, secret, url } from "./person.js";

let browser;
before(async () => (browser = await openBrowser()));
after(() => browser.close());

/** A test with a person who must leave without complaints. */
const story = (name, act, look) =>
  test(name, async () => {
    const person = await Person.arrive(browser, look);
    await act(person, person.page);
    await person.leave();
  });

story("a picture of the gallery finds its class, and its class has more of it", async (person, page) => {
  const picture = picturesOf("known")[0];
  const name = String(Number(basename(picture).split("_")[0])); // 0007_c1s1_000001_00.jpg
  await person.button("Settings").click();
  await page.getByLabel("Compare with").selectOption("nearest");
  await person.button("Close").click();
  await person.search(picture);
  assert.equal(await person.best(), name);
  await person.button(`More examples of ${name}`).click();
  await page.locator(".strip img").first().waitFor();
  await page.getByRole("link", { name, exact: true }).first().click();
  await page.getByRole("heading", { name, exact: true }).waitFor();
  await page.locator(".member").first().waitFor();
  assert.ok((await page.title()).startsWith(name));
});

story("why a class was found is shown over the picture", async (person, page) => {
  await person.search(picturesOf("known")[0]);
  const why = person.button(/^Why /).first();
  await why.click();
  const map = page.locator(".hit figure img").first();
  await map.waitFor();
  assert.ok(await map.evaluate((image) => image.decode().then(() => image.naturalWidth > 0)));
  assert.equal(await why.getAttribute("aria-pressed"), "true");
  await why.click();
  assert.equal(await page.locator(".hit figure").count(), 0);
});

story("a new class is made, found, deleted, and comes back by undo", async (person, page) => {
  const [first, second] = picturesOf("new");
  await person.search(first);
  await person.button(/^(Add to another class|Make a class of it)$/).click();
  await person.nameClass("Grandmother's teapot");
  await person.message("1 picture added").waitFor();
  await person.settled();
  await page.locator(".hit h3 a", { hasText: "Grandmother's teapot" }).first().waitFor();
  assert.equal(await person.best(), "Grandmother's teapot");

  await person.openClass("Grandmother's teapot");
  await person.pick(second, "Add pictures");
  await page.getByText("2 images", { exact: true }).waitFor();

  await person.button("Delete class").click();
  await person.message("will be deleted").waitFor();
  await page.getByRole("heading", { name: "Classes", exact: true }).waitFor();
  await page.getByLabel("Search classes by name").fill("teapot");
  await page.getByRole("main").getByText("No class is called").waitFor();
  await person.message("will be deleted").getByRole("button", { name: "Undo" }).click();
  await page.getByRole("link", { name: "Grandmother's teapot" }).waitFor();

  await person.openClass("Grandmother's teapot");
  await person.button("Delete class").click();
  await person.button("Delete now").click();
  await page.goto(`${url}/#/classes/${encodeURIComponent("Grandmother's teapot")}`);
  await page.getByText("There is no such class").waitFor();
  person.complaints = person.complaints.filter((complaint) => !complaint.includes("404"));
});

story("a deletion that waits is carried out when the page is left", async (person, page) => {
  await person.search(picturesOf("new")[2]);
  await person.button(/^(Add to another class|Make a class of it)$/).click();
  await person.nameClass("Short-lived");
  await person.message("1 picture added").waitFor();
  await person.openClass("Short-lived");
  await person.button("Delete class").click();
  await person.message("will be deleted").waitFor();
  await page.goto("about:blank");
  const gone = async () => (await page.request.get(`${url}/v1/classes/Short-lived`)).status() === 404;
  for (let wait = 0; wait < 50 && !(await gone()); wait += 1) await page.waitForTimeout(100);
  assert.ok(await gone());
});

story("members are moved, quarantined and deleted, each with undo", async (person, page) => {
  await person.search(picturesOf("new").slice(3, 6));
  await person.button("Add all to a class").click();
  await person.nameClass("Three");
  await person.message("3 pictures added").waitFor();
  await person.openClass("Three");
  const members = page.locator(".member");
  const select = () => page.locator(".member input").first().check();
  assert.equal(await members.count(), 3);

  await select();
  await person.button("Move").click();
  await person.nameClass("Elsewhere");
  await person.message("moved to Elsewhere").getByRole("button", { name: "Undo" }).click();
  await page.getByText("3 images", { exact: true }).waitFor();

  await select();
  await person.button("Quarantine").click();
  await page.getByText("1 in quarantine").waitFor();
  await person.message("in quarantine: kept").getByRole("button", { name: "Undo" }).click();
  await page.getByText("3 images", { exact: true }).waitFor();

  await select();
  await page.locator(".tools").getByRole("button", { name: "Delete" }).click();
  await page.getByText("2 images", { exact: true }).waitFor();
  await person.message("will be deleted").getByRole("button", { name: "Undo" }).click();
  await page.getByText("3 images", { exact: true }).waitFor();

  await person.button("Merge or rename").click();
  await person.nameClass("Trio");
  await page.getByRole("heading", { name: "Trio", exact: true }).waitFor();
  await person.button("Delete class").click();
  await person.button("Delete now").click();
});

story("a picture is dropped, and one is pasted", async (person, page) => {
  const bytes = readFileSync(picturesOf("known")[0]).toString("base64");
  for (const kind of ["drop", "paste"]) {
    await page.evaluate(
      ({ kind, bytes }) => {
        const data = new DataTransfer();
        const content = Uint8Array.from(atob(bytes), (char) => char.charCodeAt(0));
        data.items.add(new File([content], `${kind}.jpg`, { type: "image/jpeg" }));
        const event = kind === "drop" ? new DragEvent(kind, { dataTransfer: data }) : new ClipboardEvent(kind, { clipboardData: data });
        window.dispatchEvent(event);
      },
      { kind, bytes },
    );
    await page.getByRole("region", { name: `Results for ${kind}.jpg` }).locator(".hit").first().waitFor();
  }
});

story("a phone takes the picture with its camera", async (person, page) => {
  const chooser = page.waitForEvent("filechooser");
  await person.button("Take a photo").click();
  const input = (await chooser).element();
  assert.equal(await input.getAttribute("capture"), "environment");
  await (await chooser).setFiles(picturesOf("known")[0]);
  await person.settled();
}, "phone");

test("a server with a token asks for it once, and pictures are shown", { skip: !guarded && "no guarded server" }, async () => {
  const context = await browser.newContext(LOOKS.light);
  const page = await context.newPage();
  await page.goto(`${guarded}/#/classes`);
  const dialog = page.getByRole("dialog", { name: "This server wants a token" });
  for (const token of ["wrong", secret]) {
    await dialog.getByLabel("Token").fill(token);
    await dialog.getByRole("button", { name: "Continue" }).click();
    if (token === "wrong") await dialog.getByText("did not accept").waitFor();
  }
  const picture = page.locator(".card.class img").first();
  await picture.waitFor();
  await page.waitForFunction((image) => image.naturalWidth > 0, await picture.elementHandle());
  assert.equal(await dialog.isVisible(), false);
  await context.close();
});

story("a broken picture says what is wrong, and the others are answered", async (person, page) => {
  const broken = { name: "broken.jpg", mimeType: "image/jpeg", buffer: Buffer.from("no picture") };
  const whole = { name: "whole.jpg", mimeType: "image/jpeg", buffer: readFileSync(picturesOf("known")[0]) };
  await person.search([broken, whole]);
  await page.getByRole("region", { name: "Results for broken.jpg" }).getByText("No answer").waitFor();
  assert.ok(await page.getByRole("region", { name: "Results for whole.jpg" }).locator(".hit").count());
  // The browser itself reports the refused request and the picture it cannot show.
  person.complaints = person.complaints.filter((complaint) => !/status of 4\d\d/.test(complaint));
});

story("everything can be reached by the keyboard", async (person, page) => {
  await page.keyboard.press("c");
  await page.locator(".card.class").first().waitFor();
  await page.keyboard.press("/");
  await page.waitForFunction(() => document.activeElement?.id === "class-search");
  await page.keyboard.type("s,c"); // letters are letters in a field
  assert.equal(await page.locator("#class-search").inputValue(), "s,c");
  await page.locator("#class-search").fill("");
  await page.keyboard.press("Tab");
  await page.locator(".card.class").first().waitFor();
  await page.locator(".card.class a").first().focus();
  await page.keyboard.press("Enter");
  await page.locator(".member").first().waitFor();
  await page.keyboard.press(",");
  await page.getByRole("heading", { name: "Settings" }).waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#settings").isVisible(), false);
  const dark = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await dark();
  await page.keyboard.press("t");
  assert.notEqual(await dark(), before);
});

story("settings change the answer and are remembered", async (person, page) => {
  await person.search(picturesOf("known")[0]);
  await person.button("Settings").click();
  await page.getByLabel("Results", { exact: true }).fill("3");
  await page.getByLabel("Compare with").selectOption("instance");
  await person.button("Close").click();
  await page.waitForFunction(() => document.querySelectorAll(".hit").length === 3);
  await page.reload();
  await person.search(picturesOf("known")[0]);
  assert.equal(await page.locator(".hit").count(), 3);
});

for (const look of Object.keys(LOOKS)) {
  story(`every view is for everybody: ${look}`, async (person, page) => {
    await person.inspect("start");
    await person.search([picturesOf("known")[0], picturesOf("new")[0]]);
    await person.button(/^Why /).first().click();
    await page.locator(".hit figure img").first().waitFor();
    await person.button(/^More examples/).nth(1).click();
    await page.locator(".strip img").first().waitFor();
    await person.inspect("found");
    await person.button(/^(Add to another class|Make a class of it)$/).first().click();
    await page.getByRole("option").first().waitFor();
    await page.keyboard.press("ArrowDown");
    await person.inspect("choose");
    await page.keyboard.press("Escape");
    await page.getByRole("link", { name: "Classes", exact: true }).click();
    await page.locator(".card.class").first().waitFor();
    await person.inspect("classes");
    await page.locator(".card.class a").first().click();
    await page.locator(".member input").first().check();
    await person.inspect("class");
    await page.locator(".member button.frame").first().click();
    await person.inspect("member");
    await page.keyboard.press("Escape");
    await person.button("Settings").click();
    for (const summary of await page.locator("#settings summary").all()) await summary.click();
    await person.inspect("settings");
  }, look);
}
