/** The dashboard in a real terminal, with daemons that say what they like, when they like, and with terminals and files of all kinds. */
import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { SANDBOX_PANES } from "../../cli/tui/views/sandboxes/panes.ts";
import { type Answer, logOf, OddDaemon } from "../helpers/odd-daemon.ts";
import { until } from "../helpers/processes.ts";
import { Terminal } from "../helpers/tmux.ts";
import { capture, exec, sandbox, snapshot } from "../unit/tui/world.ts";

const now = new Date().toISOString();
const hostile =
  "日本 👨‍👩‍👧 👍🏽 ❤️ e\u0301 a\tb\x1b[31mred\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\x1b[2J\x9b2J\x90q\r\n\u202ec";

const list = (key: string, things: readonly object[]): object => ({
  [key]: things,
  next: null,
  lastEvent: 0,
});
const listing = (things: readonly object[]): Record<string, Answer> => ({
  "/v1/sandboxes": list("sandboxes", things),
});

async function open(daemon: OddDaemon, env: Record<string, string> = {}): Promise<Terminal> {
  const terminal = await Terminal.open({ ...daemon.env, ...env });
  await terminal.type("thaw");
  return terminal;
}

const refuse: Answer = (_request, response) =>
  response
    .writeHead(500, { "content-type": "application/json" })
    .end(JSON.stringify({ error: { code: "internal", message: `refused ${hostile}`, hint: hostile } }));

/** The window is whole, once what is on its way to it has come: nothing has scrolled, and no line is another's. */
async function checkFrame(terminal: Terminal): Promise<void> {
  let rows: string[] = [];
  await until(async () => {
    rows = await terminal.rows();
    return rows.length === 24 && /^ 1 Sandboxes .* ●$/.test(rows[0] ?? "") && /q quit$/.test(rows[23] ?? "");
  }, "the frame to be whole").catch((error: Error) => {
    throw new Error(`${error.message}:\n${rows.join("\n")}`);
  });
}

async function leave(terminal: Terminal): Promise<void> {
  await terminal.press("q");
  await terminal.until(/^host> $/m);
}

test("whatever is in names, logs, labels, errors: the frame stays whole, nothing reaches the terminal", async () => {
  const things = Array.from({ length: 12 }, (_, n) =>
    sandbox({
      ...{ id: `s${n}`, name: `${n}${hostile}`, from: hostile, reason: hostile, createdAt: now },
      labels: { a: hostile },
      execs: [exec({ id: `e${n}`, sandbox: `s${n}`, argv: [hostile, hostile], startedAt: now })],
      network: { mode: hostile as never, unavailable: hostile },
    }),
  );
  const failed = capture({ id: `fail${hostile}`, host: hostile, createdAt: now });
  const answers: Record<string, Answer> = {
    ...listing(things),
    "/v1/sandboxes/s0/execs/e0/logs": logOf([
      Buffer.from(`${hostile}\n`),
      Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
      Buffer.from(`\n${"\r".repeat(60_000)}written over\nthe end\n`),
    ]),
    "/v1/sandboxes/s0/network": refuse,
    "/v1/sandboxes/s0/processes": refuse,
    "/v1/captures": list("captures", [failed]),
    "/v1/snapshots": list("snapshots", [snapshot({ tags: [hostile], incompatible: [hostile] })]),
    "/v1/templates": {
      templates: [
        { ...{ name: hostile, description: hostile, tag: hostile, from: hostile, snapshot: null } },
      ].map((template) => ({ ...template, resources: snapshot().resources })),
    },
    "/v1/doctor": {
      ready: false,
      probes: [{ name: hostile, state: "missing", detail: hostile, hint: hostile }],
    },
  };
  await using daemon = await OddDaemon.start(answers);
  await using terminal = await open(daemon);
  const title = await terminal.ask("#{pane_title}");
  const screen = await terminal.until("the end");
  expect(screen).toContain("written over");
  // each line of the log begins with its time
  expect(screen).not.toMatch(/:\d\d .*(owned|31mred)/);
  await checkFrame(terminal);
  const texts: Partial<Record<string, string>> = {
    Network: "refused",
    Resources: "reason",
    Processes: "refused",
  };
  for (const { title } of SANDBOX_PANES.slice(1)) {
    await terminal.press("Tab");
    await terminal.until(texts[title] ?? "日本");
    await checkFrame(terminal);
  }
  for (const [view, shown] of [
    ["2", "fingerprint"],
    ["3", "incompatible"],
    ["4", "not built"],
    ["5", "✗ 日本"],
  ] as const) {
    await terminal.press(view, "w");
    await terminal.until(shown);
    await checkFrame(terminal);
    await terminal.press("w");
  }
  await terminal.press("1", "d");
  await terminal.until(/Remove .*日本/);
  await checkFrame(terminal);
  await terminal.press("n");
  expect(await terminal.ask("#{pane_title}")).toBe(title);
  expect(await terminal.clipboard()).toBe("");
  await leave(terminal);
});

test("a command that writes without a pause: its last lines are shown, keys are heard, memory is bounded", async () => {
  const much = Buffer.from("y\n".repeat(32_768));
  const busy = sandbox({ createdAt: now, execs: [exec({ startedAt: now })] });
  await using daemon = await OddDaemon.start({
    ...listing([busy]),
    "/v1/sandboxes/s1/execs/e1/logs": logOf([], () => much),
    "/v1/sandboxes/s1/execs/e1": exec({ startedAt: now }),
  });
  await using terminal = await open(daemon);
  await terminal.until("output comes faster than it can be shown");
  await terminal.press("?");
  await terminal.until("Keys in Sandboxes");
  await terminal.press("Escape", "w");
  await terminal.until(/( y\n.*){15}/);
  const status = await readFile(`/proc/${await terminal.programPid()}/status`, "utf8");
  expect(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1])).toBeLessThan(400_000);
  await leave(terminal);
});

test("a daemon that never answers is said to be slow; keys work, and q leaves", async () => {
  await using daemon = await OddDaemon.start({ "/v1/info": () => {}, "/v1/sandboxes": () => {} });
  await using terminal = await open(daemon);
  await terminal.until("loading");
  await terminal.until("no answer for 5 s");
  await terminal.press("n");
  await terminal.until("$ thaw create");
  await terminal.press("Escape", "q");
  await terminal.until(/^host> $/m);
});

test("what a daemon of another version sends: what is known is shown, the rest is said", async () => {
  await using daemon = await OddDaemon.start({
    ...listing([
      { ...sandbox(), id: "a", name: "known", createdAt: now },
      { ...sandbox(), id: "b", name: "half", state: 7, resources: null, ports: null, next: { at: 3 } },
      ...[{ id: "c" }, { ...sandbox(), id: "d", labels: null }, { ...sandbox(), id: "e", name: {} }],
    ]),
    "/v1/captures": list("captures", [{ id: "x" }, { ...capture(), changedBytes: null }]),
    "/v1/snapshots": list("snapshots", [{ id: "y" }]),
    "/v1/doctor": {},
    "/v1/info": { version: "77.1" },
  });
  await using terminal = await open(daemon);
  await terminal.until(/▌ known +running/);
  await terminal.until(/ {3}half +7 .*\?/);
  await terminal.until("5 entries of local can't be shown: its daemon has another version (77.1)");
  await terminal.press("2");
  await terminal.until(/▌ fail-7k2qxz/);
  await terminal.until("this pane can't be shown");
  await terminal.press("5");
  await terminal.until(/▌ local/);
  await checkFrame(terminal);
  await leave(terminal);
});

test("a terminal that changes its size all the time, gets tiny, and is itself again", async () => {
  await using daemon = await OddDaemon.start(listing([sandbox({ createdAt: now })]));
  await using terminal = await open(daemon);
  await terminal.until(/▌ web/);
  for (let step = 0; step < 50; step += 1)
    await terminal.resize(60 + ((step * 47) % 140), 15 + ((step * 29) % 45));
  await terminal.resize(20, 6);
  await terminal.until("too small: 20 × 6");
  // no key acts on a row that is not seen
  await terminal.press("d", "y");
  await terminal.resize(80, 24);
  await terminal.until(/▌ web/);
  await checkFrame(terminal);
  expect(await terminal.screen()).not.toContain("Remove");
  await leave(terminal);
});

test.each<Record<string, string>>([
  { CI: "true" },
  { NO_COLOR: "1" },
  { TERM: "xterm", NO_COLOR: "" },
  { INK_SCREEN_READER: "true" },
])("with %j", async (env) => {
  await using daemon = await OddDaemon.start(
    listing([sandbox({ createdAt: now }), sandbox({ id: "s2", name: "other", createdAt: now })]),
  );
  await using terminal = await open(daemon, env);
  await terminal.until(/▌ web/);
  await terminal.press("j");
  await terminal.until(/▌ other/);
  const rows = await terminal.rows({ colours: true });
  expect(rows.join("").includes("\x1b[36m")).toBe(env.NO_COLOR === "");
  expect(rows[0]).toContain("Sandboxes");
  await leave(terminal);
});

test("ended while a pager has the terminal: the pager ends too, and the terminal is as it was", async () => {
  const long = logOf([Buffer.from("a line\n".repeat(500))]);
  const execs = [exec({ startedAt: now })];
  await using daemon = await OddDaemon.start({
    ...listing([sandbox({ createdAt: now, execs })]),
    "/v1/sandboxes/web": sandbox({ createdAt: now, execs }),
    "/v1/sandboxes/s1/execs/e1/logs": long,
    "/v1/sandboxes/web/execs/e1/logs": long,
  });
  await using terminal = await open(daemon, { PAGER: "less" });
  await terminal.until(/▌ web/);
  await terminal.press("l");
  await terminal.until(/a line\n:/);
  process.kill(await terminal.programPid(), "SIGTERM");
  await terminal.until(/^host> $/m);
  expect(await terminal.ask("#{alternate_on} #{wrap_flag} #{cursor_flag}")).toBe("0 1 1");
  await terminal.type("echo code=$?");
  await terminal.until("code=143");
  // nor is the command left that the pager showed
  const isLeft = async (): Promise<boolean> =>
    (await execa("pgrep", ["-f", "context local logs web$"], { reject: false })).exitCode === 0;
  await until(async () => !(await isLeft()), "the command to end");
});

test("what fails while it is drawn: the terminal is as it was, and the log is named", async () => {
  await using daemon = await OddDaemon.start(listing([sandbox({ name: "語", createdAt: now })]));
  const broken = join(daemon.folder, "broken.mjs");
  writeFileSync(
    broken,
    `const { segment } = Intl.Segmenter.prototype;
     Intl.Segmenter.prototype.segment = function (text) {
       if (text.includes("語")) throw new Error("this can't be drawn");
       return segment.call(this, text);
     };`,
  );
  await using terminal = await open(daemon, { NODE_OPTIONS: `--import=${broken}` });
  const screen = await terminal.until(/hint: .*dashboard\.log/);
  expect(screen).toContain("thaw: the dashboard failed: this can't be drawn");
  expect(await terminal.ask("#{alternate_on} #{wrap_flag} #{cursor_flag}")).toBe("0 1 1");
  await terminal.type("echo code=$?");
  await terminal.until("code=125");
  expect(await readFile(join(daemon.folder, "dashboard.log"), "utf8")).toContain("this can't be drawn");
});

test.each<[string, (path: string) => void, RegExp]>([
  ["no JSON", (path) => writeFileSync(path, '{"view":'), /^host> $/m],
  ["of other shapes", (path) => writeFileSync(path, '{"view":7,"lists":{"sandboxes":7}}'), /^host> $/m],
  [
    "huge",
    (path) => writeFileSync(path, Buffer.alloc(1 << 20)),
    /can't save the dashboard's preferences: .* regular file/,
  ],
  ["a folder", (path) => mkdirSync(path), /can't save the dashboard's preferences: .* regular file/],
])(
  "preferences that are %s do not keep it from opening, and it is said when none can be kept",
  async (_what, spoil, said) => {
    await using daemon = await OddDaemon.start({});
    mkdirSync(join(daemon.folder, "config"));
    spoil(join(daemon.folder, "config", "dashboard.json"));
    await using terminal = await open(daemon);
    await terminal.until("no sandboxes");
    await terminal.press("q");
    let screen = "";
    const isSaid = async (): Promise<boolean> => {
      screen = await terminal.screen();
      return said.test(screen.replaceAll("\n", " ")) || said.test(screen);
    };
    await until(isSaid, "the preferences");
    expect(screen).not.toContain("no sandboxes");
  },
);
