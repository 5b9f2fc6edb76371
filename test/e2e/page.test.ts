/** The web page as a person uses it: Chromium, the daemon's own listener, and machines. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Browser } from "../helpers/browser.ts";
import { testHome } from "../helpers/test-home.ts";
import { killDaemon, thaw, thawJson } from "../helpers/thaw.ts";

const HOSTILE_NAME = "<img src=x onerror=alert(1)>\u202Etxt.\u2066";
const HOSTILE_BRANCH = 'evil"><script>alert(2)</script>\u202E';
const CONTENT = "<script>alert(3)</script>\n";
const COMMAND = `printf '\\033[31mgot %s\\033[0m <b>bold</b> \\033]0;title\\007\\n' "$WORD"; printf '%s' '${CONTENT}' > /root/'${HOSTILE_NAME}'; exit 3`;
const CI = {
  GITHUB_ACTIONS: "true",
  GITHUB_REPOSITORY: "acme/shop",
  GITHUB_REF: "refs/heads/x",
  GITHUB_HEAD_REF: HOSTILE_BRANCH,
  GITHUB_SHA: "9f3c1e2aa0000000000000000000000000000000",
  GITHUB_RUN_ID: "8812",
};
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface AxeRule {
  id: string;
  nodes: { html: string; failureSummary: string }[];
}
const sessionIds = async (): Promise<string[]> => {
  const all = await thawJson<{ id: string; name: string }[]>(["token", "ls"]);
  return all.filter(({ name }) => name !== "page").map(({ id }) => id);
};

let browser: Browser;
let page: Page;
let link: URL;
let newest: string;
let oldest: string;
const asked = new Set<string>();
const dialogs: string[] = [];

/** @returns the failure's id; it may still be being stored */
async function failWith(word: string): Promise<string> {
  const flags = ["--capture", "on-failure", "-e", `WORD=${word}`];
  const { exitCode, stderr } = await thaw(["run", ...flags, "--", "sh", "-c", COMMAND], { env: CI });
  expect(exitCode, String(stderr)).toBe(3);
  return /frozen as (\S+)/.exec(String(stderr))?.[1] ?? "";
}

async function captureIds(): Promise<string[]> {
  const { stdout } = await thaw(["capture", "ls", "-q"]);
  return String(stdout)
    .split("\n")
    .filter((id) => id !== "");
}

/** A new one-time link. */
async function makeLink(): Promise<URL> {
  const { stdout, stderr, exitCode } = await thaw(["ui", "--no-open"]);
  expect(exitCode, String(stderr)).toBe(0);
  return new URL(String(stdout).trim());
}

/** What the browser wrote to its console. Without a session, it tells of answers that say so, and of the events that end; without a daemon, of each request. */
function problems(): string[] {
  return browser.problems.filter(
    (text) =>
      !text.includes("status of 401") &&
      // while the daemon was killed
      !/net::ERR_(CONNECTION|EMPTY)|WebSocket connection/.test(text) &&
      !/INCOMPLETE_CHUNKED_ENCODING.*\/v1\/events\?/s.test(text),
  );
}

async function violations(): Promise<string[]> {
  await page.evaluate(axe);
  const found = await page.evaluate(
    "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations)",
  );
  return (found as AxeRule[]).flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`),
  );
}

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  // another file's would be in the list too
  const others = await captureIds();
  if (others.length > 0) expect((await thaw(["capture", "rm", ...others])).exitCode).toBe(0);
  oldest = await failWith("apples");
  newest = await failWith("pears");
  browser = await Browser.open();
  page = await browser.page({ viewport: { width: 1280, height: 800 }, acceptDownloads: true });
  page.on("request", (request) => asked.add(new URL(request.url()).origin));
  page.on("dialog", (dialog) => {
    dialogs.push(dialog.message());
    void dialog.dismiss();
  });
  link = await makeLink();
  await page.goto(link.href);
});
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  await thaw(["capture", "rm", ...(await captureIds())]);
  await thaw(["token", "rm", "page", ...(await sessionIds())]);
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
});

describe("the page of a host", () => {
  test("a one-time link opens it, and its ticket is gone from the address; each row is a link to its failure", async () => {
    for (const name of [oldest, newest]) await page.getByRole("link", { name, exact: true }).waitFor();
    expect(new URL(page.url()).hash).toBe("");
    expect(new URL(page.url()).origin).toBe(link.origin);
    const links = page.getByRole("table", { name: "Failures" }).getByRole("link", { name: /^fail-/ });
    const places = await Promise.all((await links.all()).map((each) => each.getAttribute("href")));
    expect(places).toEqual([`/failures/${newest}`, `/failures/${oldest}`]);
  });

  test("a link does not work twice, and the page says how to go on", async () => {
    const other = await browser.page();
    await other.goto(link.href);
    await other.getByRole("heading", { name: "Open thaw" }).waitFor();
    await other.getByRole("alert").getByText("the link was used already").waitFor();
    await other.getByText("thaw ui").waitFor();
    await other.context().close();
  });

  test("no rule of axe is broken in the list, by day and by night", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      expect(await violations(), colorScheme).toEqual([]);
    }
  });

  test("keys move among the rows, and a filter is part of the address", async () => {
    await page.getByRole("link", { name: newest, exact: true }).focus();
    await page.keyboard.press("j");
    await page.waitForFunction(`document.activeElement.textContent === "${oldest}"`);
    await page.keyboard.press("/");
    await page.keyboard.type(`${oldest} shop`);
    await page.getByRole("link", { name: newest, exact: true }).waitFor({ state: "detached" });
    expect(new URL(page.url()).searchParams.get("q")).toBe(`${oldest} shop`);
    await page.reload();
    await page.getByText("1 of 2").waitFor();
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox", { name: "Go to, or do" }).fill(newest);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1 }).getByText(newest).waitFor();
  });

  test("a failure is shown with its colours, and what a guest named is text", async () => {
    const heading = page.getByRole("heading", { level: 1 });
    await heading.getByText("<b>bold</b>").first().waitFor();
    const output = page.getByRole("group", { name: "Last lines" });
    expect(await output.locator(".fg-1").textContent()).toBe("got pears");
    expect(await output.textContent()).toContain("<b>bold</b>");
    expect(await output.textContent()).not.toContain("title");
    const text = String(await page.locator("main").textContent());
    expect(text).toContain('evil"><script>alert(2)</script>⟨U+202E⟩');
    expect(text).not.toMatch(/[\u202E\u2066]/);
    await page.getByRole("tab", { name: "Machine" }).click();
    await page.getByRole("cell", { name: "/init" }).waitFor();
    expect(await violations()).toEqual([]);
  });

  test("a file is shown and downloaded, and a folder as an archive", async () => {
    await page.goto(`${link.origin}/failures/${newest}?tab=files&path=/root`);
    await page.getByRole("link", { name: "<img src=x onerror=alert(1)>⟨U+202E⟩txt.⟨U+2066⟩" }).click();
    await page.getByRole("group", { name: "Content of the file" }).getByText(CONTENT.trim()).waitFor();
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Download", exact: true }).click(),
    ]);
    expect(await buffer(await file.createReadStream())).toEqual(Buffer.from(CONTENT));
    await page.getByRole("navigation", { name: "Folder" }).getByRole("link", { name: "root" }).click();
    const [archive] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Download all as tar" }).click(),
    ]);
    expect(archive.suggestedFilename()).toBe(`${newest}-root.tar`);
    expect((await buffer(await archive.createReadStream())).includes(CONTENT)).toBe(true);
  });

  test("it is compared with the run before, and the first difference is named", async () => {
    await page.getByRole("tab", { name: "Compare" }).click();
    await page.getByText("First difference: Last lines").waitFor();
    const row = page.locator(".first-difference");
    expect(await row.textContent()).toContain("got pears");
    expect(await row.textContent()).toContain("got apples");
  });

  test("a rerun counts its runs and ends with a verdict", async () => {
    await page.getByRole("tab", { name: "Case" }).click();
    await page.getByLabel("Runs").fill("2");
    await page.getByText("thaw rerun").waitFor();
    await page.getByRole("button", { name: "Rerun", exact: true }).click();
    const result = page.getByRole("region", { name: "Rerun" });
    await result.getByText("broken").waitFor();
    expect(await result.textContent()).toContain("2/2 failed of 2 runs");
    await page.getByRole("contentinfo").getByText("2 of 2 failed: broken").first().waitFor();
  });

  test("a session that ends leaves the page as it is, and a token goes on with it", async () => {
    const ended = await sessionIds();
    // without any session, the daemon would listen no more
    const other = await browser.page();
    await other.goto((await makeLink()).href);
    await other.getByRole("link", { name: newest, exact: true }).waitFor();
    const { stdout } = await thaw(["token", "create", "--name", "page", "--rights", "operate"]);
    expect((await thaw(["token", "rm", ...ended])).exitCode).toBe(0);
    await page.getByRole("tab", { name: "Elsewhere" }).click();
    await page.getByRole("heading", { name: "Your session has ended" }).waitFor();
    await page.getByText("Once it is in a store").waitFor();
    await page.getByLabel("Or paste a token").fill(String(stdout).trim());
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("cell", { name: "memory: resume the machine as it was" }).waitFor();
    expect(new URL(page.url()).searchParams.get("tab")).toBe("elsewhere");
    await other.context().close();
  });

  test("it is pushed to a store of the host, which says where it is", async () => {
    const config = join(testHome(), "config.yaml");
    const folder = mkdtempSync(join(tmpdir(), "thaw-page-failures-"));
    writeFileSync(config, `stores: ["dir:${folder}"]\n`);
    try {
      await page.getByRole("tab", { name: "Case" }).click();
      await page.getByRole("tab", { name: "Elsewhere" }).click();
      await page.getByText(`thaw capture push ${newest} dir:${folder}`).waitFor();
      await page.getByRole("button", { name: "Push", exact: true }).click();
      await page.getByRole("status").getByText(`dir:${folder}:${newest}`).waitFor();
      expect(readFileSync(join(folder, "index.json"), "utf8")).toContain(newest);
    } finally {
      rmSync(config);
      rmSync(folder, { recursive: true });
    }
  });

  test("a replay opens with a terminal in the failed machine, and the failure leads to it", async () => {
    await page.getByRole("button", { name: "Replay", exact: true }).click();
    await page.waitForURL(/\/sandboxes\//);
    const [replay] = await thawJson<{ id: string; name: string }[]>(["ls"]);
    expect(page.url()).toContain(`/sandboxes/${replay?.id}`);
    await page.getByRole("button", { name: "New shell" }).first().click();
    await page.locator('.terminal:not([hidden])[data-phase="open"]').waitFor();
    await page.keyboard.type("wc -c /root/*; echo hi-$((40+2))\n");
    await page.locator(".xterm-rows > div", { hasText: /^hi-42/ }).waitFor();
    await page.locator(".xterm-rows > div", { hasText: /^26 \/root\// }).waitFor();
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      expect(await violations(), colorScheme).toEqual([]);
    }
    await page.locator(".terminal:not([hidden]) .terminal-screen").click();
    await killDaemon();
    await page.locator(".terminal:not([hidden]) .terminal-status", { hasText: "reconnecting …" }).waitFor();
    await page.keyboard.type("echo back-$((40+3))\n");
    // any command starts the next daemon
    await thawJson(["ls"]);
    await page.locator(".xterm-rows > div", { hasText: /^back-43/ }).waitFor();
    await page.locator(".banner").waitFor({ state: "detached" });
    await page.goto(`${link.origin}/failures/${newest}?tab=lineage`);
    await page.getByRole("link", { name: replay?.name ?? "", exact: true }).click();
    await page.waitForURL(/\/sandboxes\//);
  });

  test("the replay is forked and captured by clicks, each beside the command that does the same", async () => {
    const [{ name } = { name: "" }] = await thawJson<{ name: string }[]>(["ls"]);
    const lastTask = page.locator("footer summary");
    await page.getByText(`thaw fork ${name}`, { exact: true }).waitFor();
    await page.getByRole("button", { name: "Fork", exact: true }).click();
    await lastTask.getByText(`Fork ${name}: copied as `).waitFor();
    expect(await thawJson(["ls"])).toHaveLength(2);
    await page.getByText(`thaw capture create ${name}`, { exact: true }).waitFor();
    await page.getByRole("button", { name: "Capture", exact: true }).click();
    await page.waitForURL(/\/failures\/capture-/);
    const made = (await captureIds()).filter((id) => id !== oldest && id !== newest);
    expect(made).toEqual([new URL(page.url()).pathname.slice("/failures/".length)]);
    expect((await thaw(["capture", "rm", ...made])).exitCode).toBe(0);
    await page.goto(`${link.origin}/failures/${newest}`);
  });

  test("it is removed after a question that says what is lost", async () => {
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    const question = page.getByRole("dialog", { name: `Remove ${newest}?` });
    await question.getByText("for good").waitFor();
    await question.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    await question.getByRole("button", { name: "Remove" }).click();
    await page.waitForURL(`${link.origin}/failures`);
    await page.getByRole("link", { name: oldest, exact: true }).waitFor();
    await page.getByRole("link", { name: newest, exact: true }).waitFor({ state: "detached" });
    expect(await captureIds()).toEqual([oldest]);
  });

  test("nothing was asked of another server, nothing was blocked or failed, and no script of a guest's ran", async () => {
    expect([...asked]).toEqual([link.origin]);
    expect(problems()).toEqual([]);
    expect(dialogs).toEqual([]);
  });
});
