/** The page's terminal: how fast output is shown, against the client library that reads the same; and a tab that is flooded. */
import { setTimeout as elapse } from "node:timers/promises";
import type { Page } from "playwright-core";
import { shell } from "./guest.ts";
import { LoneBrowser } from "./lone-browser.ts";
import { median } from "./median.ts";
import { figure, peer, type Row } from "./row.ts";
import { removeAll, type World } from "./world.ts";

const MEGABYTES = 50;
const TTY = { rows: 40, cols: 140 };
type Tty = typeof TTY;
const LINES = "/tmp/lines";
const FLOODS = 3;
const TURNS = 10;
const LOOK_MS = 100;
const GO = "/tmp/go";

/** Takes note of each command's output in a page: how much came, when the first of it did, and when its terminal had shown all of it. */
const COUNTER = `
  window.outputs = {};
  window.WebSocket = class extends WebSocket {
    constructor(url) {
      super(url);
      const [, exec] = /execs\\/([^/]+)/.exec(url);
      const output = (outputs[exec] = { bytes: 0, startedAt: 0, endedAt: 0 });
      this.addEventListener("message", ({ data }) => {
        if (new Uint8Array(data, 0, 1)[0] !== 1) return;
        if (output.bytes === 0) output.startedAt = performance.now();
        output.bytes += data.byteLength - 1;
      });
    }
  };
  new MutationObserver(() => {
    if (document.querySelector(".terminals > :not([hidden])[data-phase=ended]") === null) return;
    for (const output of Object.values(outputs)) output.endedAt ||= performance.now();
  }).observe(document, { subtree: true, attributeFilter: ["data-phase"] });
`;

/** Takes note of how long after each click the frame is done that shows what it did. */
const CLICKS = `
  window.reactions = [];
  const note = ({ timeStamp }) =>
    requestAnimationFrame(() => requestAnimationFrame(() => reactions.push(performance.now() - timeStamp)));
  addEventListener("click", note, true);
`;

interface Output {
  bytes: number;
  startedAt: number;
  endedAt: number;
}

export async function measurePageTerminal(world: World): Promise<Row[]> {
  await using browser = await LoneBrowser.open();
  try {
    const { client, signal } = world;
    const { id } = await client.sandboxes.create({}, { signal });
    await shell(world, id, `head -c 750000 /dev/urandom | base64 | head -c 1000000 > ${LINES}; mkfifo ${GO}`);
    const { url } = await client.tokens.ticket({ rights: "operate", listen: true });
    await browser.drive(async (page) => {
      await page.goto(url);
      await page.getByRole("link", { name: "Sandboxes" }).first().waitFor();
    });
    const bench = { world, browser, sandbox: id, base: url };
    const pipe = await measureRate(bench, { runs: world.runs(2) });
    const pty = await measureRate(bench, { runs: 1, tty: TTY });
    const hidden = await readByPage(bench, { bytes: MEGABYTES * 1e6, isHidden: true });
    const reactions = await measureReactions(bench);
    const name = `page: ${MEGABYTES} MB of lines in its terminal`;
    const target = { of: "ours", bound: "at least", value: 10 } as const;
    const slower = (median(pipe.raw) / median(pty.raw)).toFixed(1);
    return [
      {
        name: `${name}, from a pipe`,
        ours: figure("MB/s", pipe.page),
        against: peer("client library", "MB/s", pipe.raw),
        target,
        note: "every byte was shown",
      },
      {
        name: `${name}, by processor time of the tab's main thread`,
        ours: figure("MB/s", pipe.work),
        target,
      },
      {
        name: `${name}, from a terminal in the guest`,
        ours: figure("MB/s", pty.page),
        against: peer("client library", "MB/s", pty.raw),
        note: `every byte was shown; the guest's terminal is ${slower} times as slow as its pipe`,
      },
      {
        name: `${name}, hidden behind another tab`,
        ours: figure("MB/s", [(MEGABYTES * 1000) / hidden.ms]),
        target,
        note: "from a pipe; every byte was taken",
      },
      {
        name: `page: a click while ${FLOODS} of its terminals are flooded → the next frame, worst of ${TURNS}`,
        ours: figure("ms", [Math.max(...reactions)]),
        target: { of: "ours", bound: "at most", value: 200 },
      },
    ];
  } finally {
    await removeAll(world.client);
  }
}

interface Bench {
  world: World;
  browser: LoneBrowser;
  sandbox: string;
  /** An address of the page. */
  base: string;
}

interface Rates {
  page: number[];
  /** By time that the tab's main thread worked. */
  work: number[];
  raw: number[];
}

/** The first pair, which warms both, is thrown away. */
async function measureRate(bench: Bench, { runs, tty }: { runs: number; tty?: Tty }): Promise<Rates> {
  const rates: Rates = { page: [], work: [], raw: [] };
  for (let run = 0; run <= runs; run += 1) {
    const raw = await readByLibrary(bench, tty);
    const page = await readByPage(bench, { bytes: raw.bytes, tty });
    if (run === 0) continue;
    rates.raw.push(raw.bytes / 1000 / raw.ms);
    rates.page.push(raw.bytes / 1000 / page.ms);
    rates.work.push(raw.bytes / 1000 / page.workMs);
  }
  return rates;
}

/** A command that waits for `go`, then writes. */
async function startWriter(
  { world, sandbox }: Bench,
  tty: Tty | undefined,
  loop = `for i in $(seq ${MEGABYTES})`,
): Promise<string> {
  const argv = ["sh", "-c", `read -r go < ${GO}; ${loop}; do cat ${LINES}; done`];
  const { signal } = world;
  const request = { argv, ...(tty === undefined ? {} : { tty }) };
  return (await world.client.sandboxes.at(sandbox).startDetached(request, { signal })).id;
}

async function go({ world, sandbox }: Bench): Promise<void> {
  await shell(world, sandbox, `echo > ${GO}`);
}

async function readByLibrary(bench: Bench, tty: Tty | undefined): Promise<{ bytes: number; ms: number }> {
  const { client, signal } = bench.world;
  const reference = client.sandboxes.at(bench.sandbox).execAt(await startWriter(bench, tty));
  let bytes = 0;
  let startedAt = 0;
  const stdout = (chunk: Uint8Array): void => {
    if (bytes === 0) startedAt = performance.now();
    bytes += chunk.length;
  };
  const connection = await reference.attach({ stdin: true, stdout, signal });
  await go(bench);
  await connection.result;
  return { bytes, ms: performance.now() - startedAt };
}

/** @returns milliseconds, and those that the tab's main thread worked */
async function readByPage(
  bench: Bench,
  { bytes, tty, isHidden = false }: { bytes: number; tty?: Tty | undefined; isHidden?: boolean },
): Promise<{ ms: number; workMs: number }> {
  const { world, sandbox, browser, base } = bench;
  const exec = await startWriter(bench, tty);
  await browser.drive((page) => openTerminal(page, new URL(`/sandboxes/${sandbox}?tab=terminal`, base)));
  if (isHidden) await browser.hide();
  const before = browser.mainThreadMs();
  await go(bench);
  const reference = world.client.sandboxes.at(sandbox).execAt(exec);
  await reference.wait({ signal: world.signal });
  return browser.drive(async (page) => {
    const workMs = browser.mainThreadMs() - before;
    await page.locator(".terminals > :not([hidden])[data-phase=ended]").waitFor();
    const output = await page.evaluate<Output>(`outputs["${exec}"]`);
    if (output.bytes !== bytes) throw new Error(`${output.bytes} bytes came to the page instead of ${bytes}`);
    return { ms: output.endedAt - output.startedAt, workMs };
  });
}

/** @returns milliseconds from each of several clicks to the frame that shows what it did */
async function measureReactions(bench: Bench): Promise<number[]> {
  const { browser, sandbox, base } = bench;
  for (let flood = 0; flood < FLOODS; flood += 1) await startWriter(bench, undefined, "while :");
  const box = await browser.drive(async (page) => {
    await openTerminal(page, new URL(`/sandboxes/${sandbox}?tab=terminal`, base));
    for (let flood = 1; flood < FLOODS; flood += 1) await showTerminal(page, flood);
    await page.evaluate(CLICKS);
    return page.getByRole("button", { name: "Search", exact: true }).boundingBox();
  });
  if (box === null) throw new Error("there is no button");
  // All of them wait for the one.
  await go(bench);
  await using page = await browser.bare();
  const wait = (): Promise<void> => elapse(LOOK_MS, undefined, { signal: bench.world.signal });
  const bytes = (): Promise<number> =>
    page.evaluate("Object.values(outputs).reduce((sum, { bytes }) => sum + bytes, 0)");
  let reactions: number[] = [];
  for (let turn = 1; turn <= TURNS; turn += 1) {
    const before = await bytes();
    // Nothing but a flood brings so much.
    while ((await bytes()) < before + 2_000_000) await wait();
    await page.click(box.x + box.width / 2, box.y + box.height / 2);
    while (reactions.length < turn) {
      await wait();
      reactions = await page.evaluate<number[]>("reactions");
    }
  }
  return reactions;
}

/** Opens the terminal of the first of the sandbox's commands that runs. */
async function openTerminal(page: Page, address: URL): Promise<void> {
  await page.addInitScript(COUNTER);
  await page.goto(address.href);
  await showTerminal(page, 0);
}

async function showTerminal(page: Page, index: number): Promise<void> {
  await page
    .getByRole("tab", { name: /read -r go/ })
    .nth(index)
    .click();
  await page.locator(".terminals > :not([hidden])[data-phase=open]").waitFor();
}
