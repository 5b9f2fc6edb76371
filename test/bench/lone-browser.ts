/**
 * Chromium that nobody drives while something is measured in it. Who drives a page gets each message of its WebSockets, too, as text: that
 * costs the tab as much as what it does with them. Timers of hidden tabs are slow here, as they are for a person.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { chromium, type Page } from "playwright-core";
import { PROGRAM } from "../helpers/browser.ts";
import { BarePage } from "./bare-page.ts";
import { cpuMsOf } from "./process-use.ts";

const LISTENING = /^DevTools listening on (ws:.*)$/;

/** The page in front of the one that is measured. */
const HIDING = "data:text/plain,another";

export class LoneBrowser implements AsyncDisposable {
  readonly #pid: number;
  readonly #endpoint: string;
  readonly #close: () => Promise<void>;

  private constructor(pid: number, endpoint: string, close: () => Promise<void>) {
    this.#pid = pid;
    this.#endpoint = endpoint;
    this.#close = close;
  }

  static async open(): Promise<LoneBrowser> {
    const profile = mkdtempSync("/tmp/thaw-chromium-");
    const args = ["--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"];
    const child = spawn(
      PROGRAM,
      [
        ...args,
        "--window-size=1280,900",
        "--remote-debugging-port=0",
        `--user-data-dir=${profile}`,
        "about:blank",
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    const ended = once(child, "exit");
    const close = async (): Promise<void> => {
      child.kill();
      await ended;
      rmSync(profile, { recursive: true, force: true });
    };
    for await (const line of createInterface({ input: child.stderr })) {
      const [, endpoint] = LISTENING.exec(line) ?? [];
      if (endpoint === undefined) continue;
      child.stderr.resume();
      return new LoneBrowser(child.pid ?? 0, endpoint, close);
    }
    await close();
    throw new Error("Chromium ended before it listened");
  }

  /** Drives its page for as long as `work` takes. */
  async drive<T>(work: (page: Page) => Promise<T>): Promise<T> {
    const browser = await chromium.connectOverCDP(this.#endpoint);
    try {
      const pages = browser.contexts()[0]?.pages() ?? [];
      const page = pages.find((each) => each.url() !== HIDING);
      for (const other of pages) if (other !== page) await other.close();
      if (page === undefined) throw new Error("Chromium has no page");
      return await work(page);
    } finally {
      await browser.close();
    }
  }

  /** Hides its page behind another one, until it is driven again. */
  hide(): Promise<void> {
    return this.drive(async (page) => {
      const other = await page.context().newPage();
      await other.goto(HIDING);
      await other.bringToFront();
    });
  }

  /** Its page, for what must not be slowed down by whoever looks. */
  bare(): Promise<BarePage> {
    return BarePage.open(this.#endpoint, HIDING);
  }

  /** Processor time of its tab. */
  tabMs(): number {
    return sumOf(this.#renderers(), cpuMsOf);
  }

  /** Processor time of what runs the tab's scripts. */
  mainThreadMs(): number {
    return sumOf(this.#renderers(), (pid) => cpuMsOf(`${pid}/task/${pid}`));
  }

  #renderers(): number[] {
    return descendantsOf(this.#pid).filter((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--type=renderer"),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }
}

function sumOf(pids: readonly number[], of: (pid: number) => number): number {
  return pids.reduce((sum, pid) => sum + of(pid), 0);
}

function descendantsOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .split(" ")
    .filter(Boolean)
    .map(Number);
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}
