/** The page's terminal in Chromium: what is typed, what comes, what a hostile guest writes, and a daemon that is killed. */
import { createHash } from "node:crypto";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findPaths, Thaw } from "../../client/index.ts";
import { Browser } from "../helpers/browser.ts";
import { serveTerminalPage, type TerminalPage } from "../helpers/terminal-page.ts";
import { killDaemon, thaw, thawEnv, thawJson, until } from "../helpers/thaw.ts";

const FLOOD = `yes ${"0123456789".repeat(7)}`;

let browser: Browser;
let served: TerminalPage;

beforeAll(async () => {
  // The daemon is there before the page asks for it.
  await create();
  browser = await Browser.open();
  served = await serveTerminalPage(findPaths(thawEnv()).socket);
});
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  await served?.[Symbol.asyncDispose]();
  await thaw(["rm", "--all"]);
  await thaw(["daemon", "stop"]);
});

/** @returns the id of a new sandbox */
async function create(): Promise<string> {
  return (await thawJson<{ id: string }>(["create", "--template", "base"])).id;
}

/** A page with a shell of its own, ready for a command. */
async function openShell(): Promise<Page> {
  const page = await browser.page({ viewport: { width: 1000, height: 600 } });
  await page.goto(served.url(await create()));
  await page.locator('.terminal:not([hidden])[data-phase="open"]').waitFor();
  // Without the editing of lines, and no echo.
  await type(page, "exec sh -c 'stty -echo; printf \"rea%s\\n\" dy; PS1= exec sh -i'");
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
  const isIn = (all: string): boolean => (typeof text === "string" ? all.includes(text) : text.test(all));
  let all = "";
  await until(
    async () => {
      all = await rows(page);
      return isIn(all);
    },
    () => `${text} in:\n${all}`,
  );
}

/** What the terminal in front says of itself. */
async function says(page: Page, text: string, deadlineMs?: number): Promise<void> {
  const status = page.locator(".terminal:not([hidden]) .terminal-status");
  await until(async () => (await status.textContent()) === text, `"${text}"`, deadlineMs);
}

interface Seen {
  bytes: number;
  text: string;
  digest: string;
}
/** What xterm was given in this page. */
const seen = (page: Page): Promise<Seen> => page.evaluate("window.seen()");

describe("a shell", () => {
  let page: Page;
  beforeAll(async () => {
    page = await openShell();
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  });
  afterAll(async () => {
    await page?.close();
  });

  test("answers, and has the terminal's size, also when that changes", async () => {
    await type(page, "echo $((6 * 7)) $TERM");
    await shows(page, /^42 xterm-256color$/m);
    const sizeOf = async (): Promise<[number, number]> => {
      const before = (await seen(page)).bytes;
      await type(page, "stty size");
      let size: RegExpExecArray | null = null;
      await until(async () => {
        const { bytes, text } = await seen(page);
        size = bytes > before ? /(\d+) (\d+)\r\n$/.exec(text) : null;
        return size !== null;
      }, "the size");
      return [Number(size?.[1]), Number(size?.[2])];
    };
    const shownRows = () => page.locator(".terminal:not([hidden]) .xterm-rows > div").count();
    const [rowCount, columns] = await sizeOf();
    expect(rowCount).toBe(await shownRows());
    await page.setViewportSize({ width: 600, height: 400 });
    await until(async () => (await shownRows()) < rowCount, "fewer rows");
    let smaller = await sizeOf();
    // The new size may still be on its way.
    await until(async () => {
      smaller = await sizeOf();
      return smaller[0] === (await shownRows());
    }, "the guest's new size");
    expect(smaller[1]).toBeLessThan(columns);
    await page.setViewportSize({ width: 1000, height: 600 });
  });

  test("is searched", async () => {
    await type(page, "clear; for i in 1 2 3; do echo needle-$i; done");
    await shows(page, "needle-3");
    await page.keyboard.press("Control+f");
    const search = page.locator(".terminal-search");
    await search.getByLabel("Search").fill("needle");
    await expect.poll(() => search.locator("output").textContent()).toMatch(/^\d of 3$/);
    const first = await search.locator("output").textContent();
    await search.getByRole("button", { name: "Next" }).click();
    await expect.poll(() => search.locator("output").textContent()).not.toBe(first);
    await search.getByRole("button", { name: "Previous" }).click();
    await expect.poll(() => search.locator("output").textContent()).toBe(first);
    await page.keyboard.press("Escape");
    await type(page, "echo typed again");
    await shows(page, /^typed again$/m);
  });

  test("copies what is selected, and pastes between brackets that the text can't end", async () => {
    await type(page, "clear; echo copyme");
    await shows(page, /^copyme$/m);
    await page.locator(".terminal:not([hidden]) .xterm-rows > div", { hasText: /^copyme$/ }).dblclick({
      force: true,
      position: { x: 10, y: 5 },
    });
    await page.keyboard.press("Control+Shift+C");
    await expect.poll(() => page.evaluate("navigator.clipboard.readText()")).toBe("copyme");
    await page.evaluate("navigator.clipboard.writeText('one\\x1b[201~two')");
    await type(page, "printf '\\033[?2004h'; head -c 23 | cat -v; printf '\\033[?2004l\\n'");
    await until(async () => (await seen(page)).text.endsWith("\x1b[?2004h"), "the brackets");
    await page.keyboard.press("Control+Shift+V");
    await page.keyboard.type("\n\n\n\n");
    await shows(page, "^[[200~one[201~two^[[201~");
  });

  test("a hostile guest changes nothing but its terminal", async () => {
    const opened: string[] = [];
    page.context().on("page", (popup) => opened.push(popup.url()));
    page.on("dialog", (dialog) => opened.push(dialog.message()));
    const title = await page.title();
    const escapes = [
      // the clipboard, the title, an icon, the size and place of the window
      ...["]52;c;aGFja2Vk", "]0;hacked", "]2;hacked", "]1;hacked"].map((osc) => `\\033${osc}\\007`),
      ...["[8;5;5t", "[1t", "[2t", "[3;0;0t", "[9;1t", "[22;0t"].map((csi) => `\\033${csi}`),
      // links to what is no address of the web, notifications, a file
      "\\033]8;;javascript:alert(1)\\033\\\\evil\\033]8;;\\033\\\\ ",
      ...["]9;hacked", "]777;notify;a;b", "]1337;File=inline=1:aGk="].map((osc) => `\\033${osc}\\007`),
      "<img src=x onerror=alert(2)>",
    ];
    await type(
      page,
      `clear; printf '${escapes.join("")}'; printf '\\033[38;2;200;30;90mcolour\\033[m\\n'; echo done`,
    );
    await shows(page, /^done$/m);
    await shows(page, "evil <img src=x onerror=alert(2)>colour");
    // Its own colour is drawn, though the policy allows no style attribute.
    const spans = "[...document.querySelectorAll('.xterm-rows span')]";
    expect(
      await page.evaluate(`getComputedStyle(${spans}.find((e) => e.textContent === "colour")).color`),
    ).toBe("rgb(200, 30, 90)");
    await page.locator(".xterm-rows span", { hasText: "evil" }).first().click({ force: true });
    // Reports of the title and of the window's size come to nobody: the shell would take them for typed.
    await type(page, "printf '\\033[21t\\033[18t\\033[14t'; read -t 1 reply; echo reply=\"$reply\".");
    await shows(page, "reply=.");
    expect(await page.title()).toBe(title);
    expect(await page.evaluate("navigator.clipboard.readText()")).not.toContain("hacked");
    expect(await page.locator(".terminal-screen img").count()).toBe(0);
    expect(opened).toEqual([]);
  });

  test("an address is opened by a click, and is not told where it was", async () => {
    const url = new URL(served.url("")).origin;
    await type(page, `clear; echo see ${url}/index.html.`);
    await shows(page, `see ${url}/index.html.`);
    const row = page.locator(".xterm-rows > div", { hasText: /^see http/ });
    // From another line: xterm remembers what it found in the one below the pointer.
    await page.mouse.move(500, 400);
    await row.hover({ force: true, position: { x: 80, y: 5 } });
    await expect.poll(() => page.locator(".terminal-link").textContent()).toBe(`${url}/index.html`);
    expect(page.context().pages()).toHaveLength(1);
    const [popup] = await Promise.all([
      page.context().waitForEvent("page"),
      row.click({ force: true, position: { x: 80, y: 5 } }),
    ]);
    await popup.waitForLoadState("domcontentloaded");
    expect(await popup.evaluate("[document.referrer, window.opener]")).toEqual(["", null]);
    await popup.close();
    await page.bringToFront();
  });

  test("goes on when the daemon was killed, and nothing is lost", async () => {
    const last = 120;
    await type(
      page,
      `clear; i=0; while [ $i -lt ${last} ]; do i=$((i + 1)); echo line-$i.; sleep 0.05; done`,
    );
    await shows(page, "line-3.");
    await killDaemon();
    await says(page, "reconnecting …");
    // Typed while nobody is there.
    await type(page, "echo typed-$((40 + 2))");
    // Any command starts the next daemon.
    await thaw(["ls"]);
    await shows(page, "typed-42");
    const { text } = await seen(page);
    const found = [...text.slice(text.lastIndexOf("\x1b[2J")).matchAll(/line-(\d+)\./g)].map(([, n]) =>
      Number(n),
    );
    expect(found).toEqual(Array.from({ length: last }, (_, n) => n + 1));
  });
});

test("50 MB reach xterm byte by byte, as they reach any other client", async () => {
  const sandbox = await create();
  await using client = new Thaw({ ...findPaths(thawEnv()) });
  const lines = "head -c 750000 /dev/urandom | base64 > /tmp/lines; echo ready; read go";
  const times = 49;
  const script = `${lines}; i=0; while [ $i -lt ${times} ]; do cat /tmp/lines; i=$((i + 1)); done; echo the end`;
  const { id } = await client.sandboxes
    .at(sandbox)
    .startDetached({ argv: ["sh", "-c", script], stdin: true });
  const page = await browser.page();
  await page.goto(served.url(sandbox));
  await page.getByRole("tab", { name: /urandom/ }).click();
  await shows(page, "ready");
  const hash = createHash("sha256");
  let bytes = 0;
  const other = await client.sandboxes
    .at(sandbox)
    .execAt(id)
    .attach({
      stdout: (chunk) => {
        hash.update(chunk);
        bytes += chunk.length;
      },
    });
  const before = performance.now();
  await page.keyboard.type("go\n");
  await other.result;
  await says(page, "exited with code 0", 280_000);
  const seconds = (performance.now() - before) / 1000;
  const shown = await seen(page);
  expect([shown.bytes, shown.digest]).toEqual([bytes, hash.digest("hex")]);
  expect(bytes).toBeGreaterThan(49_000_000);
  await shows(page, "the end");
  process.stderr.write(
    `  ${bytes} bytes in ${seconds.toFixed(1)} s: ${(bytes / 1e6 / seconds).toFixed(1)} MB/s\n`,
  );
  await page.close();
});

test("three floods at once leave the page alive and its memory bounded", async () => {
  const page = await openShell();
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const shellTab = page.getByRole("tab").last();
  await type(page, FLOOD);
  for (let n = 0; n < 2; n++) {
    await page.getByRole("button", { name: "New shell" }).first().click();
    await page.locator('.terminal:not([hidden])[data-phase="open"]').waitFor();
    await shows(page, /[$#]\s/);
    await type(page, FLOOD);
  }
  const { bytes } = await seen(page);
  await until(async () => (await seen(page)).bytes > bytes + 2_000_000, "2 MB more");
  const { metrics } = await session.send("Performance.getMetrics");
  expect(metrics.find(({ name }) => name === "JSHeapUsedSize")?.value).toBeLessThan(150 << 20);
  await page.keyboard.press("Control+c");
  await type(page, "echo ali$((1))ve");
  await shows(page, /^ali1ve$/m);
  await shellTab.click();
  await page.keyboard.press("Control+c");
  await type(page, "echo ali$((1))ve");
  await shows(page, /^ali1ve$/m);
  await page.close();
});

test("who comes second watches, may take over, and sees the end", async () => {
  const sandbox = await create();
  await using client = new Thaw({ ...findPaths(thawEnv()) });
  const reference = client.sandboxes.at(sandbox);
  const { id } = await reference.startDetached({
    argv: ["sh", "-c", "stty -echo; echo begun; read a; echo got $a; exit 3"],
    ...{ tty: { rows: 24, cols: 80 }, stdin: true },
  });
  const told: string[] = [];
  const ann = await reference.execAt(id).attach({
    stdin: true,
    as: "ann",
    onStatus: (message) => {
      if (message.type === "writer-lost") told.push(message.to);
    },
  });
  const page = await browser.page();
  await page.goto(served.url(sandbox));
  await page.getByRole("tab", { name: /echo begun/ }).click();
  await says(page, "watching: ann writes");
  await shows(page, "begun");
  await page.getByRole("button", { name: "Take over" }).click();
  await says(page, "");
  await page.keyboard.type("this\n");
  await shows(page, "got this");
  await says(page, "exited with code 3");
  expect((await ann.result).exit?.code).toBe(3);
  expect(told).toEqual(["page"]);
  await page.locator(".terminal:visible").getByRole("button", { name: "New shell" }).click();
  await page.locator('.terminal:not([hidden])[data-phase="open"]').waitFor();
  await page.close();
});

test("the page that the daemon serves has it in the tab of a sandbox", async () => {
  const sandbox = await create();
  const page = await browser.page();
  const { stdout } = await thaw(["ui", "--no-open"]);
  const link = new URL(String(stdout).trim());
  await page.goto(link.href);
  await page.getByRole("link", { name: "Sandboxes" }).first().waitFor();
  await page.goto(new URL(`/sandboxes/${sandbox}?tab=terminal`, link).href);
  await page.locator('.terminal:not([hidden])[data-phase="open"]').waitFor();
  await type(page, "echo $((6 * 7))");
  await shows(page, /^42\s*$/m);
  await page.close();
});

test("nothing went wrong in any page, and its policy had nothing to forbid", () => {
  expect(browser.problems.filter((problem) => !/net::ERR_|WebSocket connection/.test(problem))).toEqual([]);
});
