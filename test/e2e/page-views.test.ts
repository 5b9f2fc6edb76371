/** The page's views of sandboxes, snapshots, templates and hosts, as a person uses them: Chromium, the daemon's own listener, and machines. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import type { Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Browser, violations } from "../helpers/browser.ts";
import { testHome } from "../helpers/test-home.ts";
import { thaw, thawJson, until } from "../helpers/thaw.ts";

/** What a guest, or whoever labels things, may write. */
const HOSTILE = "<img src=x onerror=alert(1)>\u202Etxt.\u001b[2J";
const SEEN = "<img src=x onerror=alert(1)>⟨U+202E⟩txt.␛[2J";

interface Sandbox {
  id: string;
  name: string;
  state: string;
  expiresAt: string;
  idleMs: number | null;
  removeAfterMs: number | null;
  labels: Record<string, string>;
}

let browser: Browser;
let page: Page;
let origin: string;
const dialogs: string[] = [];

const must = async (args: string[]): Promise<string> => {
  const { exitCode, stdout, stderr } = await thaw(args);
  expect(exitCode, String(stderr)).toBe(0);
  return String(stdout);
};
const web = async (): Promise<Sandbox> => {
  const [found] = await thawJson<Sandbox[]>(["inspect", "web"]);
  if (found === undefined) throw new Error("there is no sandbox web");
  return found;
};
const openTab = (name: string): Promise<void> => page.getByRole("tab", { name, exact: true }).click();
const panel = (): Locator => page.getByRole("tabpanel");
/** The newest line at the foot of the page. */
const lastTask = (): Locator => page.locator("footer summary");
const axe = async (): Promise<void> => expect(await violations(page)).toEqual([]);

beforeAll(async () => {
  await must(["template", "build", "base"]);
  browser = await Browser.open();
  page = await browser.page({ viewport: { width: 1280, height: 900 }, acceptDownloads: true });
  page.on("dialog", (dialog) => {
    dialogs.push(dialog.message());
    void dialog.dismiss();
  });
  const link = new URL((await must(["ui", "--no-open", "--rights", "admin"])).trim());
  origin = link.origin;
  await page.goto(link.href);
  await page.getByRole("link", { name: /^Sandboxes/ }).click();
});
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  await must(["rm", "--all"]);
  const tokens = await thawJson<{ id: string }[]>(["token", "ls"]);
  if (tokens.length > 0) await must(["token", "rm", ...tokens.map(({ id }) => id)]);
  await must(["daemon", "stop"]);
});

describe("sandboxes", () => {
  test("the form says what is wrong, shows the command, and creates a sandbox that the list shows live", async () => {
    await page.getByRole("link", { name: "New sandbox" }).click();
    const form = page.getByRole("dialog", { name: "New sandbox" });
    await form.getByLabel("Name").fill("Not a name");
    await form.getByText("A name has lower-case letters").waitFor();
    expect(await form.getByRole("button", { name: "Create", exact: true }).isDisabled()).toBe(true);
    await form.getByLabel("Name").fill("web");
    await form.getByLabel("Remove after").fill("2h");
    await form.getByLabel("Allow").fill("@npm");
    await form.getByLabel("Labels").fill(`note=${HOSTILE.replaceAll(" ", "_")}`);
    await form.getByText("thaw create --name web --ttl 2h --allow @npm --label").waitFor();
    await axe();
    await form.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "web" }).waitFor();
    expect((await web()).state).toBe("running");
    await page.getByRole("link", { name: "Sandboxes", exact: true }).first().click();
    const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: "web", exact: true }) });
    await row.getByText(/^\d+ %$/).waitFor();
    expect(await row.textContent()).toContain(SEEN.replaceAll(" ", "_"));
    await axe();
    await must(["pause", "web"]);
    await row.getByText("paused").waitFor();
    await must(["resume", "web"]);
    await row.getByText("running").waitFor();
    await page.getByLabel("Filter", { exact: true }).fill("nothing has this name");
    await page.getByText("No sandbox passes these filters.").waitFor();
    expect(new URL(page.url()).searchParams.get("q")).toBe("nothing has this name");
    await page.goBack();
  });

  test("it is extended, paused by a key, and its use is shown", async () => {
    const before = await web();
    await page.goto(`${origin}/sandboxes/${before.id}`);
    await page.getByRole("heading", { level: 1, name: "web" }).waitFor();
    await panel().getByRole("progressbar", { name: "Memory" }).waitFor();
    await page.getByLabel("By", { exact: true }).fill("90m");
    await page.getByText("thaw extend web 90m").waitFor();
    await page.getByRole("button", { name: "Extend", exact: true }).click();
    await lastTask().getByText("Extend web: ends").waitFor();
    expect(Date.parse((await web()).expiresAt) - Date.parse(before.expiresAt)).toBe(90 * 60_000);
    await page.getByRole("tab", { name: "About", exact: true }).focus();
    await page.keyboard.press("p");
    await page.getByRole("button", { name: "Resume", exact: true }).waitFor();
    await page.keyboard.press("p");
    await page.getByRole("button", { name: "Pause", exact: true }).waitFor();
    await axe();
  });

  test("its timers and labels are changed, here and by the command that the page shows", async () => {
    await openTab("Timers and labels");
    await panel().getByLabel("Pause when idle for").fill("never mind");
    await panel().getByText("It is not a duration").waitFor();
    expect(await panel().getByRole("button", { name: "Set timers" }).isDisabled()).toBe(true);
    await panel().getByLabel("Pause when idle for").fill("3h");
    await panel().getByLabel("Remove when stopped for").fill("1d");
    await panel().getByText("thaw set web --idle 3h --remove-after 1d").waitFor();
    await panel().getByRole("button", { name: "Set timers" }).click();
    await panel().getByText("Nothing is changed.").waitFor();
    expect(await web()).toMatchObject({ idleMs: 3 * 3_600_000, removeAfterMs: 86_400_000 });
    await panel().getByLabel("Label to set").fill("team=a b");
    await panel().getByRole("button", { name: "Set label" }).click();
    const row = panel().getByRole("row").filter({ hasText: "team" });
    await row.getByText("a b").waitFor();
    await panel().getByText(SEEN.replaceAll(" ", "_")).waitFor();
    await axe();
    await must(["set", "web", "--remove-after", "never", "--unlabel", "team", "--label", "by=hand"]);
    await row.waitFor({ state: "detached" });
    await panel().getByText("hand").waitFor();
    await expect.poll(() => panel().getByLabel("Remove when stopped for").inputValue()).toBe("");
    const after = await web();
    expect([after.idleMs, after.removeAfterMs, after.labels.by]).toEqual([3 * 3_600_000, null, "hand"]);
    const none = await thaw(["set", "web"]);
    expect([none.exitCode, String(none.stderr)]).toEqual([2, expect.stringContaining("say what to change")]);
  });

  test("a command's output comes as it is written, and the command is killed after a question", async () => {
    await openTab("Commands");
    await panel()
      .getByLabel("Command")
      .fill("printf '\\033[31mred\\033[0m <b>\\n'; read line < /dev/zero; sleep 1000");
    await panel().getByRole("button", { name: "Run", exact: true }).click();
    const output = panel().getByRole("group", { name: "Output" });
    await output.getByText("<b>").waitFor();
    expect(await output.locator(".fg-1").textContent()).toBe("red");
    await axe();
    await panel().getByRole("button", { name: "Kill", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Kill", exact: true }).click();
    await panel()
      .getByRole("region", { name: "Output of the command" })
      .getByText("was ended by SIGKILL")
      .waitFor();
  });

  test("a file goes up and comes back, and names of a guest's are text", async () => {
    await must(["exec", "web", "--", "mkdir", "-p", `/tmp/x/${HOSTILE.replaceAll("/", "")}`]);
    await openTab("Files");
    await panel().getByRole("link", { name: "tmp/", exact: true }).click();
    await panel().getByRole("link", { name: "x/", exact: true }).click();
    await panel()
      .getByRole("link", { name: `${SEEN}/` })
      .waitFor();
    const content = Buffer.from("one\n<script>alert(2)</script>\n");
    await panel()
      .locator("input[type=file]")
      .setInputFiles({ name: "up.txt", mimeType: "text/html", buffer: content });
    await panel().getByRole("link", { name: "up.txt" }).click();
    await panel()
      .getByRole("group", { name: "Content of the file" })
      .getByText("<script>alert(2)</script>")
      .waitFor();
    expect(await must(["exec", "web", "--", "cat", "/tmp/x/up.txt"])).toBe(content.toString());
    await axe();
    const coming = page.waitForEvent("download");
    await panel().getByRole("link", { name: "Download" }).click();
    const download = await coming;
    expect(download.suggestedFilename()).toBe("up.txt");
    expect(await buffer(await download.createReadStream())).toEqual(content);
  });

  test("what was denied is offered as a rule, and a policy that is edited counts", async () => {
    await thaw(["exec", "web", "--", "curl", "-sS", "http://denied.test/"]);
    await openTab("Network");
    await panel().getByRole("button", { name: "+ denied.test", exact: true }).click();
    await panel().getByLabel("Deny").fill("tracker.test");
    await panel()
      .getByText("thaw network set web --allow @npm --allow denied.test --deny tracker.test")
      .waitFor();
    await axe();
    await panel().getByRole("button", { name: "Apply", exact: true }).click();
    await panel().getByRole("cell", { name: "tracker.test" }).waitFor();
    const { policy } = await thawJson<{ policy: { rules: unknown[] } }>(["network", "show", "web"]);
    expect(policy.rules).toEqual([
      { action: "deny", rule: "tracker.test", from: "page" },
      { action: "allow", rule: "@npm", from: "page" },
      { action: "allow", rule: "denied.test", from: "page" },
    ]);
  });

  test("ports, processes and events are shown", async () => {
    await openTab("Ports");
    await panel().getByLabel("Port in the sandbox").fill("3000");
    await panel().getByRole("button", { name: "Forward", exact: true }).click();
    await panel()
      .getByRole("cell", { name: /^localhost:\d+$/ })
      .waitFor();
    await axe();
    await openTab("Processes");
    await panel().getByRole("cell", { name: "/init" }).first().waitFor();
    await axe();
    await openTab("Events");
    await panel().getByRole("cell", { name: "sandbox.creating" }).waitFor();
    await axe();
  });

  test("it is removed after a question that says what is lost", async () => {
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    const question = page.getByRole("dialog", { name: "Remove web?" });
    await question.getByText("Its memory and its disk are lost.").waitFor();
    await question.getByRole("button", { name: "Remove", exact: true }).click();
    await until(async () => (await thawJson<Sandbox[]>(["ls"])).length === 0, "the sandbox to be removed");
    await page.getByText("No sandboxes.").waitFor();
  });
});

describe("snapshots", () => {
  test("one is tagged, verified, pushed to a store of the host, and removed after a question that says what is freed", async () => {
    await must(["create", "--name", "seed"]);
    await page.getByRole("link", { name: "seed", exact: true }).click();
    await page.getByLabel("Tag", { exact: true }).fill("shop:main");
    await page.getByText("thaw freeze seed shop:main").waitFor();
    await page.getByRole("button", { name: "Freeze", exact: true }).click();
    await lastTask().getByText("Freeze seed: is snapshot shop:main").waitFor();
    await page.getByRole("link", { name: /^Snapshots/ }).click();
    await page.getByRole("link", { name: "shop:main", exact: true }).waitFor();
    await axe();
    await page.getByRole("link", { name: "shop:main", exact: true }).click();
    await panel().getByRole("table").getByRole("cell", { name: "memory", exact: true }).waitFor();
    await page.getByLabel("Tag", { exact: true }).fill("shop:next");
    await page.getByRole("button", { name: "Tag", exact: true }).click();
    await page.getByRole("button", { name: "Untag shop:next", exact: true }).waitFor();
    await axe();
    await page.getByRole("button", { name: "Verify", exact: true }).click();
    await lastTask().getByText("Verify shop:main: is intact").waitFor();
    await page.getByRole("button", { name: "Untag shop:main", exact: true }).click();
    await page.getByRole("dialog").getByText("The snapshot stays, as shop:next.").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Untag", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "shop:next" }).waitFor();
    await openTab("Packages");
    await panel().getByText("Its packages are not known").waitFor();
    await openTab("Lineage");
    await panel().getByText("frozen of a sandbox").waitFor();
    await axe();
    await openTab("Elsewhere");
    await panel().getByText("names no stores").waitFor();
    await panel().getByText("thaw snapshot push shop:next oci:REGISTRY/NAME").waitFor();
    await axe();
    const config = join(testHome(), "config.yaml");
    const folder = mkdtempSync(join(tmpdir(), "thaw-page-store-"));
    writeFileSync(config, `stores: ["dir:${folder}", "oci:127.0.0.1:1/nowhere"]\n`);
    try {
      await openTab("Lineage");
      await openTab("Elsewhere");
      await panel().getByText(`thaw snapshot push shop:next dir:${folder}`).waitFor();
      await panel().getByRole("button", { name: "Push", exact: true }).click();
      const { id } = await thawJson<{ id: string }>(["snapshot", "inspect", "shop:next"]);
      await panel().getByRole("status").getByText(`dir:${folder}:${id}`).waitFor();
      await lastTask()
        .getByText(/Push shop:next: .* sent/)
        .waitFor();
      expect(readFileSync(join(folder, "index.json"), "utf8")).toContain(id);
      await panel().getByRole("combobox", { name: /^To/ }).selectOption("oci:127.0.0.1:1/nowhere");
      await panel().getByRole("button", { name: "Push", exact: true }).click();
      await panel().locator('[role="status"].bad').getByText("127.0.0.1:1").waitFor();
      await axe();
      expect(await must(["audit", "--limit", "9"])).toMatch(/session-\S+ +snapshot push +/);
      const refused = await page.evaluate(
        `fetch("/v1/snapshots/${id}/push", { method: "POST", headers: { "content-type": "application/json" }, body: '{"store":"dir:/tmp/other"}' }).then((answer) => answer.status)`,
      );
      expect(refused).toBe(404);
    } finally {
      rmSync(config);
      rmSync(folder, { recursive: true });
    }
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    await page
      .getByRole("dialog", { name: "Remove shop:next?" })
      .getByText(/This frees up to \d/)
      .waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
    await lastTask().getByText("Remove shop:next: was removed").waitFor();
    const left = await thawJson<{ tags: string[] }[]>(["snapshot", "ls"]);
    expect(left.flatMap(({ tags }) => tags)).not.toContain("shop:next");
  });
});

describe("templates", () => {
  test("what is built of one is shown, with its steps, and a build tells how it went", async () => {
    await page.getByRole("link", { name: /^Templates/ }).click();
    const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: "base", exact: true }) });
    await row.getByText("yes").waitFor();
    await axe();
    await row.getByRole("link").click();
    await panel().getByText("shipped with thaw").waitFor();
    await openTab("Recipe");
    const recipe = String(await panel().getByRole("group", { name: "Text of the recipe" }).textContent());
    expect(recipe.trimEnd()).toBe((await must(["template", "show", "base", "--recipe"])).trimEnd());
    expect(recipe).toContain("name: base");
    await axe();
    await openTab("Steps");
    await panel()
      .getByText(/A prune of templates would/)
      .waitFor();
    await axe();
    await openTab("Build");
    await panel().getByText("Nothing was built from this page yet.").waitFor();
    await axe();
    await must(["rm", "--all"]);
    // Captures of other files' tests, too, are in this state folder, and need what was built.
    const captures = await thawJson<{ id: string }[]>(["capture", "ls"]);
    if (captures.length > 0) await must(["capture", "rm", ...captures.map(({ id }) => id)]);
    await page.getByRole("button", { name: "Remove what was built", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
    await lastTask().getByText("snapshots and").waitFor();
    await page.getByRole("button", { name: "Build", exact: true }).click();
    await panel().getByText("Built.").waitFor();
    const phase = panel().getByRole("row").filter({ hasText: "base: freeze" });
    await phase.getByText("done").waitFor();
    await axe();
  });
});

describe("the host", () => {
  test("doctor, use, disk, access and events are shown", async () => {
    await page.getByRole("link", { name: /^Hosts/ }).click();
    await page.getByRole("table", { name: "Hosts" }).getByText("ready").waitFor();
    await axe();
    await page.getByRole("table", { name: "Hosts" }).getByRole("link").click();
    await panel().getByRole("rowheader", { name: "qemu", exact: true }).waitFor();
    await axe();
    await openTab("Use");
    await panel().getByRole("progressbar", { name: "Memory in use" }).waitFor();
    await panel()
      .getByText(/^\d+ of \d+$/)
      .first()
      .waitFor();
    await axe();
    await openTab("Disk");
    await panel().getByRole("cell", { name: "root file systems", exact: true }).first().waitFor();
    await axe();
    await openTab("Access");
    await panel().getByText("(this page)").waitFor();
    await axe();
    await openTab("Audit");
    const removal = panel().getByRole("row").filter({ hasText: "snapshot rm" }).first();
    const { name } = (await page.evaluate("fetch('/v1/session').then((answer) => answer.json())")) as {
      name: string;
    };
    await removal.getByText(name).waitFor();
    await axe();
    expect(await must(["audit"])).toMatch(new RegExp(`${name} +snapshot rm `));
    for (const [tab, text] of [
      ["Pools", "No cached folders."],
      ["Quarantine", "Nothing is in quarantine."],
    ] as const) {
      await openTab(tab);
      await panel().getByText(text).waitFor();
      await axe();
    }
    await openTab("Events");
    await panel().getByRole("cell", { name: "snapshot.tagged" }).first().waitFor();
    await axe();
  });
});

test("nothing is wider than a phone, and what scrolls is reached by keys", async () => {
  await page.setViewportSize({ width: 360, height: 700 });
  for (const tab of ["Access", "Doctor", "Disk"]) {
    await openTab(tab);
    await panel().getByRole("table").first().waitFor();
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(360);
    await axe();
  }
});

test("no script of a guest's ran, and the browser had nothing to complain of", () => {
  expect(dialogs).toEqual([]);
  // the store that the host does not have
  expect(browser.problems.filter((text) => !/ 404 .*\/push\)/s.test(text))).toEqual([]);
});
