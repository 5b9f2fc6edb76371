/** The page when things go wrong: large logs and files, a proxy that holds events back, a session or a daemon that goes away, two tabs. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Browser } from "../helpers/browser.ts";
import { PageProxy } from "../helpers/page-proxy.ts";
import { killDaemon, thaw, thawJson, until } from "../helpers/thaw.ts";

const MIB = 1 << 20;
/** Of a tab, whatever it shows. */
const MOST_HEAP = 150 * MIB;

let browser: Browser;
let page: Page;
let proxy: PageProxy;
let sandbox: string;
let capture: string;

const must = async (args: string[]): Promise<string> => {
  const { exitCode, stdout, stderr } = await thaw(args);
  expect(exitCode, String(stderr)).toBe(0);
  return String(stdout);
};
const newLink = async (): Promise<string> => (await must(["ui", "--no-open", "--rights", "admin"])).trim();
const banner = (on: Page, text: string | RegExp) => on.locator(".banner").getByText(text);

async function heapOf(on: Page): Promise<number> {
  const session = await on.context().newCDPSession(on);
  await session.send("HeapProfiler.enable");
  await session.send("HeapProfiler.collectGarbage");
  await session.send("Performance.enable");
  const { metrics } = await session.send("Performance.getMetrics");
  await session.detach();
  return metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? Number.POSITIVE_INFINITY;
}

beforeAll(async () => {
  await must(["template", "build", "base"]);
  const made = await thaw(["run", "--capture", "on-failure", "--", "sh", "-c", "echo broken; exit 3"]);
  capture = /frozen as (\S+)/.exec(String(made.stderr))?.[1] ?? "";
  sandbox = (await thawJson<{ id: string }>(["create", "--name", "web", "--ttl", "2h"])).id;
  const link = await newLink();
  proxy = await PageProxy.open(new URL(new URL(link).origin));
  browser = await Browser.open();
  page = await browser.page({ viewport: { width: 1280, height: 900 }, acceptDownloads: true });
  await page.goto(proxy.link(link));
  await page.getByRole("link", { name: capture, exact: true }).waitFor();
});
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  await proxy?.[Symbol.asyncDispose]();
  await thaw(["capture", "rm", capture]);
  await must(["rm", "--all"]);
  const tokens = await thawJson<{ id: string }[]>(["token", "ls"]);
  if (tokens.length > 0) await must(["token", "rm", ...tokens.map(({ id }) => id)]);
  await must(["daemon", "stop"]);
});

/** Bytes that a command writes: more than is kept of it. */
const LOG_BYTES = Number(process.env.THAW_TEST_LOG_BYTES ?? 100_000_000);

test("of a log that is longer than is kept the end is shown, then what was before it, a bounded piece at a time", async () => {
  const script = `yes ${"0123456789".repeat(10)} | head -c ${LOG_BYTES}; echo; seq 1 3000`;
  await page.goto(`${proxy.origin}/sandboxes/${sandbox}?tab=commands`);
  const panel = page.getByRole("tabpanel");
  await panel.getByRole("textbox", { name: "Command" }).fill(script);
  await panel.getByRole("button", { name: "Run", exact: true }).click();
  const output = panel.getByRole("group", { name: "Output" });
  const lines = async (): Promise<string[]> =>
    String(await output.textContent())
      .trimEnd()
      .split("\n");
  await output.getByText(/^3000\s*$/).waitFor();
  await page.locator('[aria-label="Output"][aria-busy="false"]').waitFor();
  await expect.poll(async () => (await lines()).slice(0, 1)).toEqual(["2001"]);
  for (const first of [1001, 1]) {
    await panel.getByRole("button", { name: "Earlier" }).click();
    await expect.poll(async () => (await lines())[0]).toBe(`${first}`);
    expect(await lines()).toEqual(Array.from({ length: 1000 }, (_, n) => `${first + n}`));
  }
  await panel.getByRole("button", { name: "Earlier" }).click();
  await output
    .getByText(/^(0123456789){10}\s*$/)
    .first()
    .waitFor();
  expect(await output.locator(".line").count()).toBe(1000);
  await panel.getByRole("button", { name: "Later" }).click();
  await expect.poll(async () => (await lines())[0]).toBe("1");
  await panel.getByRole("button", { name: "To the end" }).click();
  await expect.poll(async () => (await lines())[0]).toBe("2001");
  expect(await heapOf(page)).toBeLessThan(MOST_HEAP);
  const coming = page.waitForEvent("download");
  await panel.getByRole("link", { name: "Download all that is kept" }).click();
  const saved = await (await coming).createReadStream();
  let bytes = 0;
  let end = Buffer.alloc(0);
  for await (const chunk of saved as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    end = Buffer.concat([end, chunk]).subarray(-10);
  }
  expect(end.toString()).toBe("2999\n3000\n");
  expect(bytes).toBeGreaterThan(MIB);
});

test("a line without an end is shown in part, and said to be", async () => {
  const panel = page.getByRole("tabpanel");
  await panel
    .getByRole("textbox", { name: "Command" })
    .fill("head -c 20000000 /dev/zero | tr '\\0' x; echo y");
  await panel.getByRole("button", { name: "Run", exact: true }).click();
  await panel.getByText("Its lines are long").waitFor();
  expect(await heapOf(page)).toBeLessThan(MOST_HEAP);
});

test("a file of 5 GB is shown by its beginning, and its download does not go through the tab's memory", async () => {
  await must(["exec", "web", "--", "sh", "-c", "echo begins >/tmp/large; truncate -s 5G /tmp/large"]);
  await page.goto(`${proxy.origin}/sandboxes/${sandbox}?tab=files&path=/tmp/large`);
  await page.getByText("This file is not text.").waitFor();
  const before = await heapOf(page);
  const session = await page.context().newCDPSession(page);
  await session.send("Page.enable");
  let received = 0;
  session.on("Page.downloadProgress", ({ receivedBytes }) => {
    received = receivedBytes;
  });
  const coming = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download", exact: true }).click();
  const download = await coming;
  await until(
    () => received > 100 * MIB,
    () => `100 MiB of the download; ${received} bytes came`,
  );
  expect((await heapOf(page)) - before).toBeLessThan(50 * MIB);
  await download.cancel();
  await session.detach();
});

const VIEWS = ["Sandboxes", "Failures", "Snapshots", "Templates", "Hosts"] as const;

/** Goes through all views, the first thing of each and (by default) all its tabs by links, as a page that is open goes. @returns what each shows */
async function visitAll(on: Page, { tabs: isWhole = true } = {}): Promise<Map<string, string>> {
  const seen = new Map<string, string>();
  for (const view of VIEWS) {
    await on
      .getByRole("navigation", { name: "Views" })
      .getByRole("link", { name: new RegExp(`^${view}`) })
      .click();
    const table = on.getByRole("table", { name: view });
    await table.waitFor();
    seen.set(view, String(await on.locator("main").textContent()));
    await table.locator("[data-index]").first().click();
    const tabs = on.getByRole("tab");
    await tabs.first().waitFor();
    for (const name of (await tabs.allTextContents()).slice(0, isWhole ? undefined : 1)) {
      const tab = on.getByRole("tab", { name, exact: true });
      await tab.click();
      await expect.poll(() => tab.getAttribute("aria-selected")).toBe("true");
      const content = on.getByRole("tabpanel");
      await expect.poll(async () => String(await content.textContent()).length).toBeGreaterThan(0);
      seen.set(`${view}/${name}`, String(await content.textContent()));
    }
  }
  return seen;
}

/** Nothing that a view says may come of a value that is not there. */
function expectWords(seen: ReadonlyMap<string, string>): void {
  for (const [where, text] of seen) {
    expect(text, where).not.toMatch(/undefined|\[object|NaN/);
    expect(text, where).not.toContain("could not be loaded");
  }
}

test("while the daemon is away every view is there and says so, what is typed stays, and all is well when it is back", async () => {
  await page.goto(`${proxy.origin}/sandboxes/${sandbox}?tab=settings`);
  const field = page.getByLabel("Pause when idle for");
  await field.fill("7h");
  // the terminal comes last of what is loaded ahead
  const loaded = "performance.getEntriesByType('resource').some(({ name }) => /tabs-[^/]*js$/.test(name))";
  await expect.poll(() => page.evaluate(loaded)).toBe(true);
  proxy.goAway();
  await banner(page, "No connection to the daemon").waitFor();
  expect(await field.inputValue()).toBe("7h");
  expectWords(await visitAll(page));
  await banner(page, "No connection to the daemon").waitFor();
  proxy.comeBack();
  await banner(page, "No connection to the daemon").waitFor({ state: "detached" });
  // what could not be asked for is asked for by itself
  await expect.poll(() => page.getByRole("alert").count()).toBe(0);
});

test("a session that ends is said in every view, nothing that was typed is lost, and a new link goes on with it", async () => {
  await page.goto(`${proxy.origin}/sandboxes`);
  await page.getByRole("link", { name: "New sandbox" }).click();
  const form = page.getByRole("dialog", { name: "New sandbox" });
  await form.getByLabel("Labels").fill("kept=yes");
  const other = await browser.page();
  await other.goto(proxy.link(await newLink()));
  await other.getByRole("link", { name: capture, exact: true }).waitFor();
  const { name } = (await page.evaluate("fetch('/v1/session').then((answer) => answer.json())")) as {
    name: string;
  };
  await must(["token", "rm", name]);
  await form.getByRole("heading", { name: "Your session has ended" }).waitFor();
  expect(await form.getByLabel("Labels").inputValue()).toBe("kept=yes");
  await form.getByRole("button", { name: "Cancel" }).click();
  expectWords(await visitAll(page, { tabs: false }));
  await page.getByRole("heading", { name: "Your session has ended" }).waitFor();
  const tab = await page.context().newPage();
  await tab.goto(proxy.link(await newLink()));
  await tab.getByRole("link", { name: capture, exact: true }).waitFor();
  await page.getByRole("button", { name: "I have opened a new link" }).click();
  await page.getByRole("heading", { name: "Your session has ended" }).waitFor({ state: "detached" });
  await expect.poll(() => page.getByRole("alert").count()).toBe(0);
  await tab.close();
  await other.context().close();
});

test("events that a proxy holds back are said to be, and the lists are read without them", async () => {
  proxy.holdsStreams = true;
  const held = await page.context().newPage();
  await held.clock.install();
  await held.goto(`${proxy.origin}/sandboxes`);
  await held.getByRole("link", { name: "web", exact: true }).waitFor();
  await must(["rename", "web", "site"]);
  await held.clock.fastForward(45_000);
  await banner(held, /a proxy holds its events back/).waitFor();
  await held.getByRole("link", { name: "site", exact: true }).waitFor();
  proxy.holdsStreams = false;
  await held.close();
});

test("another build of the daemon asks for the page to be loaded anew", async () => {
  await page.goto(`${proxy.origin}/sandboxes/${sandbox}`);
  await page.getByRole("heading", { level: 1, name: "site" }).waitFor();
  proxy.digest = "0123456789abcdef";
  await killDaemon();
  // any command starts the next daemon
  await must(["ls"]);
  await banner(page, "The daemon was replaced by another version.").waitFor();
  await page.getByRole("heading", { level: 1, name: "site" }).waitFor();
  proxy.digest = undefined;
  await page.getByRole("button", { name: "Reload the page" }).click();
  await page.getByRole("heading", { level: 1, name: "site" }).waitFor();
});

test("of two tabs that remove one thing the second says that it was removed already", async () => {
  const second = await page.context().newPage();
  await second.goto(`${proxy.origin}/failures/${capture}`);
  await second.getByRole("button", { name: "Remove", exact: true }).click();
  const question = second.getByRole("dialog", { name: `Remove ${capture}?` });
  await question.waitFor();
  await page.goto(`${proxy.origin}/failures/${capture}`);
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
  await page.locator("footer summary").getByText("was removed").waitFor();
  await question.getByRole("button", { name: "Remove", exact: true }).click();
  await second.locator("footer summary").getByText(`Remove ${capture}: was removed already`).waitFor();
  await second.close();
});
