// Drives the dashboard as a person would, in Chromium: runs that have ended, one that trains meanwhile, a comparison, a kill,
// a report. Any word on the console and any request to another host is a failure.
"use strict";

const { spawn, spawnSync } = require("node:child_process");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { chromium } = require("playwright-core");

const { CHROMIUM, CNNCTL } = process.env;
const pictures = process.argv[2] === "--pictures" ? process.argv[3] : null;
const work = fs.mkdtempSync(path.join(os.tmpdir(), "dashboard-"));
const at = (...names) => path.join(work, ...names);
const children = [];

/** A run of the digits model; its solver differs from the repository's in `changes`. */
function train(name, changes, live = false) {
  let solver = fs.readFileSync("solvers/digits.prototxt", "utf8");
  const settings = { snapshot_prefix: JSON.stringify(at("runs", name)), display: 25, test_interval: 25, ...changes };
  for (const [field, value] of Object.entries(settings)) {
    solver = solver.replace(new RegExp(`^${field}:.*\n`, "m"), "") + `${field}: ${value}\n`;
  }
  fs.mkdirSync(at("solvers"), { recursive: true });
  fs.writeFileSync(at("solvers", name + ".prototxt"), solver);
  const line = ["train", "--solver", at("solvers", name + ".prototxt"), "--metrics", at("runs", name + ".jsonl"), "--threads", "1"];
  if (live) {
    const child = spawn(CNNCTL, line, { stdio: "ignore" });
    children.push(child);
    return child;
  }
  const done = spawnSync(CNNCTL, line, { encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
}

/** A dashboard and its address. */
async function dashboard(...options) {
  const child = spawn(CNNCTL, ["dashboard", "runs", "--bind", "127.0.0.1:0", ...options], { cwd: work, stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const address = await new Promise((resolve) => child.stdout.once("data", (text) => resolve(String(text).trim())));
  return { child, address };
}

/** A page that takes note of what must not be. */
async function open(browser, options, wrong) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  page.on("request", (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (hostname !== "127.0.0.1" && !["data:", "file:", "blob:"].includes(protocol)) wrong.push(`request: ${request.url()}`);
  });
  return page;
}

/** How many pixels of a chart are of a colour, not of the paper, the grid or the text. */
const colourful = (canvas) => canvas.evaluate((c) => {
  const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b] = data.subarray(i, i + 3);
    if (data[i + 3] > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 60) count++;
  }
  return count;
});

async function picture(page, name, options = {}) {
  if (!pictures) return;
  fs.mkdirSync(pictures, { recursive: true });
  await page.evaluate(() => scrollTo(0, 0));
  await page.waitForTimeout(300);
  await page.screenshot({ path: path.join(pictures, name + ".png"), ...options });
}

const row = (page, name) => page.locator("#runs .run", { has: page.locator(`.name > span:first-child:text-is("${name}")`) });
const tab = (page, name) => page.getByRole("tab", { name, exact: true });

async function steps(browser, wrong) {
  fs.mkdirSync(at("runs"));
  train("lr-0.1", { max_iter: 200, snapshot: 100 });
  train("lr-0.02", { max_iter: 200, base_lr: 0.02, snapshot: 100 });
  train("adam", { max_iter: 200, base_lr: 0.002, type: '"Adam"', lr_policy: '"fixed"', snapshot: 200 });
  // As `evaluate --save` writes it: of each class 36 samples, one of which is taken for the next.
  const classes = [...Array(10).keys()];
  const confusion = classes.map((i) => classes.map((j) => j === i ? 35 : j === (i + 1) % 10 ? 1 : 0));
  const evaluation = { samples: 360, accuracy: 350 / 360, names: classes.map(String), confusion };
  fs.writeFileSync(at("runs", "lr-0.1_iter_200.evaluate.json"), JSON.stringify(evaluation));
  const { child, address } = await dashboard();
  const page = await open(browser, {}, wrong);
  await page.goto(address);

  console.log("loads, and shows what there is");
  await row(page, "lr-0.1").waitFor();
  assert.equal(await page.locator("#runs .run").count(), 3);
  await page.locator(".chart h3", { hasText: "Accuracy" }).waitFor();
  assert.deepEqual(await page.locator(".chart h3").allTextContents(), ["Loss", "Accuracy", "Learning rate"]);
  assert.ok(await colourful(page.locator(".chart canvas").first()) > 500, "the loss is drawn");

  console.log("follows a run that trains meanwhile");
  const live = train("live", { max_iter: 6000, base_lr: 0.05, snapshot: 100 }, true);
  await row(page, "live").locator(".state.running").waitFor({ timeout: 30000 });
  await row(page, "live").getByRole("button").click();
  await page.locator("#focus", { hasText: "live" }).waitFor();
  const facts = row(page, "live").locator(".facts");
  const iteration = async () => Number((await facts.textContent()).split(" ")[0].replaceAll(",", ""));
  const reaches = async (iter) => {
    for (let i = 0; i < 600 && await iteration() < iter; i++) await page.waitForTimeout(100);
    assert.ok(await iteration() >= iter, `stuck at ${await iteration()}`);
  };
  await reaches(20);
  const drawn = () => page.locator(".chart canvas").first().evaluate((c) => c.toDataURL());
  const before = [await iteration(), await drawn()];
  await reaches(before[0] + 60);
  await page.waitForFunction((old) => document.querySelector(".chart canvas").toDataURL() !== old, before[1]);
  assert.match(await page.locator("#summary").textContent(), /running.*it\/s.*to go/);
  await reaches(150);
  await picture(page, "live");

  console.log("compares");
  for (const name of ["lr-0.1", "lr-0.02", "adam"]) await row(page, name).getByRole("checkbox").check();
  await row(page, "live").getByRole("checkbox").uncheck();
  await row(page, "lr-0.1").getByRole("button").click();
  await page.waitForFunction(() => [...document.querySelectorAll(".chart")].some((c) => /Accuracy/.test(c.textContent) && c.querySelectorAll(".legend li").length === 3));
  const legend = page.locator(".chart", { hasText: "Accuracy" }).locator(".legend li");
  const names = await legend.evaluateAll((all) => all.map((li) => li.textContent.slice(0, -li.querySelector("b").textContent.length)));
  assert.deepEqual(names.sort(), ["adam", "lr-0.02", "lr-0.1"]);
  await page.locator("tr.differs", { hasText: "base_lr" }).waitFor();
  await page.getByLabel("Only what differs").check();
  assert.equal(await page.locator("#panel tr", { hasText: "momentum" }).count(), 0);
  await picture(page, "compare");

  console.log("axes, scale, smoothing");
  for (const axis of ["epochs", "time", "iterations"]) {
    const old = await drawn();
    await page.locator("#axis label", { hasText: axis }).click();
    await page.waitForFunction((old) => document.querySelector(".chart canvas").toDataURL() !== old, old);
  }
  const linear = await drawn();
  await page.getByLabel("Log scale").check();
  assert.notEqual(await drawn(), linear);
  await page.getByLabel("Log scale").uncheck();
  await page.locator("#smooth").fill("0");
  assert.notEqual(await drawn(), linear);
  await page.locator("#smooth").fill("0.6");

  console.log("keys, pointer, zoom");
  const loss = page.locator(".chart canvas").first();
  await loss.focus();
  await page.keyboard.press("ArrowRight");
  assert.match(await page.locator("#tip").textContent(), /iteration \d+/);
  await page.keyboard.press("+");
  await page.locator("#reset").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#reset").waitFor({ state: "hidden" });
  const box = await loss.boundingBox();
  await page.mouse.move(box.x + 100, box.y + 100);
  await page.mouse.down();
  await page.mouse.move(box.x + 300, box.y + 120, { steps: 5 });
  await page.mouse.up();
  await page.locator("#reset").click();
  await page.mouse.move(box.x + box.width * 0.3, box.y + 120);
  await picture(page, "hover");
  await page.mouse.move(5, 500);

  console.log("net, filters, snapshots, log");
  const loaded = (locator) => locator.evaluate((image) => image.decode().then(() => image.naturalWidth));
  await tab(page, "Net").click();
  assert.ok(await loaded(page.locator("#panel img")) > 100);
  await picture(page, "net", { fullPage: true });
  await tab(page, "Net").press("ArrowRight");
  assert.ok(await loaded(page.locator("#panel img")) > 10);
  assert.match(await page.locator("#panel").textContent(), /conv1: 32 filters of 1 × 3 × 3, from lr-0.1_iter_200.caffemodel/);
  await tab(page, "Confusion").click();
  assert.match(await page.locator("#panel").textContent(), /360 samples, 97.22% right \(lr-0.1_iter_200.evaluate.json\)/);
  assert.equal(await page.locator("table.matrix td").count(), 10 * 10 + 1);
  await page.locator("#details").scrollIntoViewIfNeeded();
  if (pictures) await page.locator("#details").screenshot({ path: path.join(pictures, "confusion.png") });
  await tab(page, "Snapshots").click();
  assert.match(await page.locator("#panel").textContent(), /200lr-0.1_iter_200.caffemodel.*KiB.*100lr-0.1_iter_100/);
  await tab(page, "Log").click();
  assert.match(await page.locator("#panel pre").textContent(), /Iteration 175, loss = .*Optimization Done\./s);
  await picture(page, "log", { fullPage: true });

  console.log("a kill is seen");
  await row(page, "live").getByRole("button").click();
  live.kill("SIGKILL");
  await row(page, "live").locator(".state.died").waitFor({ timeout: 20000 });
  assert.match(await page.locator("#summary").textContent(), /died/);

  console.log("the address keeps what is shown");
  await page.reload();
  await page.locator("#focus", { hasText: "live" }).waitFor();
  assert.equal(await page.locator("#runs input:checked").count(), 4);
  await page.waitForFunction(() => document.querySelectorAll(".chart").length === 3);

  console.log("dark, and on a phone");
  const night = await open(browser, { colorScheme: "dark" }, wrong);
  await night.goto(address + "#run=lr-0.1.jsonl&run=lr-0.02.jsonl&run=adam.jsonl&focus=lr-0.1.jsonl&tab=filters");
  assert.ok(await loaded(night.locator("#panel img")) > 10);
  assert.equal(await night.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgb(16, 20, 26)");
  await picture(night, "dark", { fullPage: true });
  const phone = await open(browser, { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }, wrong);
  await phone.goto(address + "#run=lr-0.1.jsonl&focus=lr-0.1.jsonl");
  await phone.locator("#details").waitFor();
  for (const name of ["Settings", "Net", "Filters", "Snapshots", "Log"]) {
    await tab(phone, name).tap();
    await phone.waitForTimeout(100);
    const width = await phone.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `${name} makes the page ${width} wide`);
  }
  await tab(phone, "Settings").tap();
  await picture(phone, "phone");
  for (const other of [night, phone]) await other.context().close();

  console.log("a report in a file of its own");
  const report = at("report.html");
  const made = spawnSync(CNNCTL, ["report", at("runs", "lr-0.1.jsonl"), at("runs", "adam.jsonl"), "-o", report], { encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  const file = await open(browser, {}, wrong);
  await file.goto("file://" + report);
  await file.waitForFunction(() => document.querySelectorAll(".chart").length === 3);
  assert.ok(await colourful(file.locator(".chart canvas").first()) > 500);
  await row(file, "adam").getByRole("button").click();
  await tab(file, "Filters").click();
  assert.ok(await loaded(file.locator("#panel img")) > 10);
  await tab(file, "Net").click();
  assert.ok(await loaded(file.locator("#panel img")) > 100);
  await picture(file, "report");
  await file.context().close();

  console.log("a token opens the page, and the server ends well");
  const closed = await dashboard("--token", "open-sesame");
  const visitor = await open(browser, {}, []);
  assert.equal((await visitor.goto(new URL("/", closed.address).href)).status(), 401);
  await visitor.goto(closed.address);
  await row(visitor, "adam").waitFor();
  assert.ok(!visitor.url().includes("token"), visitor.url());
  await page.close();
  for (const server of [child, closed.child]) {
    const ended = new Promise((resolve) => server.once("exit", resolve));
    server.kill("SIGTERM");
    assert.equal(await ended, 0);
  }
}

(async () => {
  const wrong = [];
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  try {
    await steps(browser, wrong);
    assert.deepEqual(wrong, []);
    console.log("the browser test is done");
  } catch (error) {
    console.error(error, wrong);
    const page = browser.contexts()[0]?.pages()[0];
    await page?.screenshot({ path: path.join(os.tmpdir(), "dashboard-failed.png") }).catch(() => {});
    process.exitCode = 1;
  } finally {
    await browser.close();
    children.forEach((child) => child.kill("SIGKILL"));
    fs.rmSync(work, { recursive: true, force: true });
  }
})();
