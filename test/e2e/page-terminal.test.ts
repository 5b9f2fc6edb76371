/** The page's terminal in Chromium: what is typed, what comes, what a hostile guest writes, and a daemon that is killed. */
import { createHash } from "node:crypto";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findPaths } from "../../client/index.ts";
import { Browser } from "../helpers/browser.ts";
import { serveTerminalPage, type TerminalPage } from "../helpers/terminal-page.ts";
import { daemonPid, killDaemon, thaw, thawEnv, thawJson } from "../helpers/thaw.ts";

let browser: Browser;
let served: TerminalPage;
let sandbox: string;

beforeAll(async () => {
  const [made] = await Promise.all([
    thawJson<{ id: string }>(["create", "--template", "base"]),
    Browser.open().then((opened) => {
      browser = opened;
    }),
    serveTerminalPage(findPaths(thawEnv()).socket).then((page) => {
      served = page;
    }),
  ]);
  sandbox = made.id;
});
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  await served?.[Symbol.asyncDispose]();
  await thaw(["rm", "--all"]);
  await thaw(["daemon", "stop"]);
});

/** A page with a shell of its own, ready for a command. */
async function openShell(): Promise<Page> {
  const page = await browser.page({ viewport: { width: 1000, height: 600 } });
  await page.goto(served.url(sandbox));
  await page.locator('.terminal:not([hidden])[data-phase="open"]').waitFor();
  await type(page, "stty -echo; PS1=; printf 'rea%s\\n' dy");
  await shows(page, "ready");
  return page;
}

async function type(page: Page, command: string): Promise<void> {
  await page.keyboard.type(`${command}\n`);
}

/** What the terminal in front shows. */
async function rows(page: Page): Promise<string> {
  return (await page.locator(".terminal:not([hidden]) .xterm-rows > div").allTextContents()).join("\n");
}

async function shows(page: Page, text: string | RegExp): Promise<void> {
  await expect.poll(() => rows(page)).toMatch(text);
}

test("a shell answers", async () => {
  const page = await openShell();
  await type(page, "echo $((6 * 7)) $TERM");
  await shows(page, /^42 xterm-256color$/m);
  await page.close();
});
