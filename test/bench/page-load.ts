/** The page in a real browser: what its first load costs, a list of a thousand, and what it uses while nothing happens. */
import { setTimeout as elapse } from "node:timers/promises";
import type { Page } from "playwright-core";
import type { Thaw } from "../../client/index.ts";
import { filterSandboxes } from "../../web/views/sandboxes/rows.ts";
import { Browser } from "../helpers/browser.ts";
import { repeat, timed } from "./interleave.ts";
import { LoneBrowser } from "./lone-browser.ts";
import { cpuMsOf } from "./process-use.ts";
import { openRecords } from "./records.ts";
import { figure, type Row } from "./row.ts";
import { removeAll, type World } from "./world.ts";

const LIVE = 20;
const SETTLE_MS = 5_000;
const WINDOW_MS = 10_000;
const LONG_FRAME_MS = 50;
const WHEEL_TURNS = 60;
const KEY_MS = 50;
const FILTER = "job-777";

export async function measurePageLoad(world: World): Promise<Row[]> {
  const { client, signal } = world;
  await using browser = await Browser.open();
  try {
    const { id } = await client.sandboxes.create({ name: "first" }, { signal });
    let bytes = 0;
    const samples = await repeat(world.runs(5), signal, async () => {
      const url = await linkTo(client);
      const page = await browser.page();
      const ms = await timed(async () => {
        await openSandboxes(page, url);
        await page.getByRole("link", { name: "first" }).waitFor();
      });
      bytes = await loadedBytes(page);
      await page.context().close();
      return ms;
    });
    await client.sandboxes.at(id).remove();
    return [
      {
        name: "page: script and style of the first list, compressed",
        ours: figure("B", [bytes]),
        target: { of: "ours", bound: "at most", value: 250_000 },
      },
      {
        name: "page: one-time link → a list, with nothing in the browser's cache",
        ours: figure("ms", samples),
        target: { of: "ours", bound: "at most", value: 1_000 },
      },
      ...(await measurePageIdle(world)),
    ];
  } finally {
    await removeAll(client);
  }
}

async function measurePageIdle({ client, signal }: World): Promise<Row[]> {
  await using browser = await LoneBrowser.open();
  await Promise.all(Array.from({ length: LIVE }, () => client.sandboxes.create({}, { signal })));
  const url = await linkTo(client);
  const name = (await client.sandboxes.list())[0]?.info.name ?? "";
  await browser.drive(async (page) => {
    await openSandboxes(page, url);
    await page.getByRole("link", { name }).waitFor();
  });
  await elapse(SETTLE_MS, undefined, { signal });
  const { pid } = await client.host.info({ signal });
  const before = [cpuMsOf(pid), browser.tabMs()] as const;
  const start = performance.now();
  await elapse(WINDOW_MS, undefined, { signal });
  const elapsed = performance.now() - start;
  const shares = [cpuMsOf(pid) - before[0], browser.tabMs() - before[1]].map((ms) => (ms / elapsed) * 100);
  return ["daemon", "tab"].map((of, index) => ({
    name: `page idle, ${LIVE} live sandboxes: CPU of the ${of}`,
    ours: figure("%", shares.slice(index, index + 1)),
    target: { of: "ours", bound: "at most", value: 2 },
  }));
}

/** Makes a frame that is long for certain. @returns whether it is noticed within 10 s */
const NOTICES_LONG_FRAME = `
  new Promise((resolve) => {
    new PerformanceObserver(() => resolve(true)).observe({ type: "long-animation-frame" });
    setTimeout(resolve, 10_000, false);
    requestAnimationFrame(() => {
      const end = performance.now() + 200;
      while (performance.now() < end);
    });
  })
`;

export async function measurePageMany(world: World): Promise<Row[]> {
  await using records = await openRecords(world);
  await using browser = await Browser.open();
  const { client } = records;
  const url = await linkTo(client);
  const page = await browser.page({ viewport: { width: 1280, height: 900 } });
  await openSandboxes(page, url);
  await page.getByRole("link", { name: /^job-/ }).first().waitFor();
  await elapse(SETTLE_MS, undefined, { signal: world.signal });
  await page.evaluate(`
    window.longFrames = [];
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) if (duration > ${LONG_FRAME_MS}) longFrames.push(duration);
    }).observe({ type: "long-animation-frame" });
  `);
  await page.mouse.move(640, 500);
  for (let turn = 0; turn < WHEEL_TURNS; turn += 1) await page.mouse.wheel(0, 700);
  const all = (await client.sandboxes.list()).map(({ info }) => info);
  const chosen = filterSandboxes(all, { q: FILTER });
  const [first] = chosen;
  const counter = page.getByRole("status");
  const filter = page.getByRole("searchbox").first();
  await filter.pressSequentially(FILTER, { delay: KEY_MS });
  await page.getByRole("link", { name: first?.name ?? "", exact: true }).waitFor();
  await counter.filter({ hasText: `${chosen.length} of ${all.length}` }).waitFor();
  for (const _letter of FILTER) await filter.press("Backspace", { delay: KEY_MS });
  await counter.filter({ hasText: new RegExp(`^${all.length}$`) }).waitFor();
  const frames = await page.evaluate<number[]>("longFrames");
  if (!(await page.evaluate<boolean>(NOTICES_LONG_FRAME)))
    throw new Error("a frame of 200 ms was not noticed");
  return [
    {
      name: `page: list of 1,000, scroll and filter: frames over ${LONG_FRAME_MS} ms`,
      ours: figure("events", [frames.length]),
      target: { of: "ours", bound: "at most", value: 0 },
      note: frames.length === 0 ? "none" : `the longest ${Math.max(...frames).toFixed(0)} ms`,
    },
  ];
}

async function linkTo(client: Thaw): Promise<string> {
  return (await client.tokens.ticket({ rights: "read", listen: true })).url;
}

/** Logs in by a one-time link, then opens the list. */
async function openSandboxes(page: Page, url: string): Promise<void> {
  await page.goto(url);
  // The link was taken: before that, another address would be opened without a session.
  await page.getByRole("link", { name: "Sandboxes" }).waitFor();
  await page.goto(new URL("/sandboxes", url).href);
}

/** What came over the network as script and style. */
async function loadedBytes(page: Page): Promise<number> {
  return page.evaluate<number>(`
    performance.getEntriesByType("resource")
      .filter(({ name }) => /\\.(js|css)$/.test(new URL(name).pathname))
      .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)
  `);
}
