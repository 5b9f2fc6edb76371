/** The dashboard's parts that need neither a terminal nor a host. */
import { PassThrough } from "node:stream";
import fc from "fast-check";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { matches } from "../../../api/matches.ts";
import { stripSequences } from "../../../cli/format/clean-text.ts";
import { Actor } from "../../../cli/tui/act.ts";
import { msToNextTick } from "../../../cli/tui/clock.ts";
import { formatArgs, splitLine } from "../../../cli/tui/command-line.ts";
import { formatBottom } from "../../../cli/tui/draw/bottom.ts";
import { layOutWindow } from "../../../cli/tui/draw/layout.ts";
import { cut, cutStart, fitTo, padTo, paint } from "../../../cli/tui/draw/text.ts";
import { widthOf } from "../../../cli/tui/draw/width.ts";
import { scrollTo } from "../../../cli/tui/draw/window.ts";
import { lineOf } from "../../../cli/tui/form.ts";
import { press } from "../../../cli/tui/input.ts";
import { keysAsMarkdown } from "../../../cli/tui/keymap.ts";
import { nameKey, readKeys } from "../../../cli/tui/keys.ts";
import { listRows } from "../../../cli/tui/state/rows.ts";
import { Store } from "../../../cli/tui/state/store.ts";
import { lineageLines } from "../../../cli/tui/views/failures/lineage.ts";
import { viewOf, views } from "../../../cli/tui/views/index.ts";
import { changesOf, GLOBAL_KEYS, newHost } from "../../../client/index.ts";
import { dashboard, now, sandbox, snapshot } from "./world.ts";

describe("text", () => {
  test("is as wide as it is said to be, whatever is in it", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme", maxLength: 40 }),
        fc.integer({ min: 1, max: 30 }),
        (text, width) => {
          expect(widthOf(fitTo(text, width))).toBe(width);
        },
      ),
    );
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 40 }),
        fc.integer({ min: 1, max: 30 }),
        (text, width) => {
          expect(widthOf(paint([{ text }, { text, tone: "bad" }], width))).toBe(width);
          expect(widthOf(cutStart(text, width))).toBeLessThanOrEqual(width);
        },
      ),
    );
    expect(cut("日本語", 4)).toBe("日… ");
    expect(cutStart("日本語", 4)).toBe("…語");
    expect(padTo("日本", 6)).toBe("日本  ");
    expect(fitTo("a\x1b[31mb\tc", 10)).toBe("a[31mb c  ");
  });
});

test.each([
  ["a family", "👨\u200d👩\u200d👧", "👨👩👧", 6],
  ["a colour of skin", "👍🏽", "👍", 2],
  ["how a symbol is drawn", "❤\ufe0f 1\ufe0f\u20e3", "❤ 1", 3],
  ["what is not seen", "a\u00ad\u200b\u2060\ufeff\u3164\u{e0061}b", "ab", 2],
  ["ends of lines", "a\u2028b\u2029c\u0085d", "abcd", 4],
  ["half a character", "a\ud800b", "a\ufffdb", 3],
  ["accents", "e\u0301", "e\u0301", 1],
])("text has one width in all terminals: %s", (_what, text, shown, width) => {
  expect(fitTo(text, width + 1)).toBe(`${shown} `);
  expect(widthOf(shown)).toBe(width);
});

test("a failure's lineage goes from its template to replays and their forks", () => {
  const state = dashboard({ cols: 80, rows: 24 });
  const [host] = state.hosts;
  const capture = host?.captures.get("fail-7k2qxz");
  if (host === undefined || capture === undefined) throw new Error("no failure");
  const forks = [
    sandbox({ id: "f1", name: "one", from: "fork of replay-7k2q" }),
    sandbox({ id: "f2", name: "two", from: "fork of one" }),
    sandbox({ id: "f3", name: "round", from: "fork of round" }),
  ];
  const sandboxes = new Map([...host.sandboxes, ...forks.map((each) => [each.id, each] as const)]);
  const lines = lineageLines(capture, { ...host, sandboxes }).map((line) =>
    line
      .map(({ text }) => text)
      .join("")
      .trimEnd(),
  );
  expect(lines).toEqual([
    "template node",
    "└─ snapshot node:24  090633d333b3d",
    "   └─ run 8812  job test",
    "      ├─ fail-7k2qxz  this failure",
    "      │  └─ replay-7k2q  running, replayed from its memory",
    "      │     └─ one  running, a fork",
    "      │        └─ two  running, a fork",
    "      └─ fail-1a9xcd  same fingerprint",
  ]);
});

test("ages are drawn as often as they change: each second, each fifth, or four times a minute", () => {
  const at = (age: number, left: number | null, view: "sandboxes" | "hosts" = "sandboxes"): number => {
    const time = (ms: number): string => new Date(now + ms).toISOString();
    const next = left === null ? null : { action: "pause" as const, at: time(left) };
    const one = sandbox({ createdAt: time(-age), next });
    const hosts = [{ ...newHost("a"), sandboxes: new Map([["s1", one]]) }];
    return msToNextTick({ hosts, view, nowMs: now });
  };
  expect([at(9_000, null), at(30_000, null), at(3_600_000, 30_000), at(3_600_000, 300_000)]).toEqual([
    1000, 5000, 1000, 5000,
  ]);
  expect([at(3_600_000, 3_600_000), at(3_600_000, null), at(1000, 1000, "hosts")]).toEqual([
    15_000, 15_000, 15_000,
  ]);
});

test("a window keeps the cursor and moves as little as it must", () => {
  expect(scrollTo(5, 0, 10, 100)).toBe(0);
  expect(scrollTo(10, 0, 10, 100)).toBe(1);
  expect(scrollTo(3, 50, 10, 100)).toBe(3);
  expect(scrollTo(99, 0, 10, 100)).toBe(90);
  expect(scrollTo(0, 7, 10, 5)).toBe(0);
});

test("the filter takes letters in order, words apart", () => {
  expect(matches("shop-pr-412 paused", "spr4")).toBe(true);
  expect(matches("shop-pr-412 paused", "pau shop")).toBe(true);
  expect(matches("shop-pr-412 paused", "4p1")).toBe(false);
});

test("an event names what has to be asked for again", () => {
  const event = (type: string, target: string, sandbox: string | null) =>
    changesOf({ type, target, sandbox } as never);
  expect(event("exec.ended", "e1", "s1")).toEqual([{ kind: "sandboxes", id: "s1", isGone: false }]);
  expect(event("sandbox.removed", "s1", "s1")).toEqual([{ kind: "sandboxes", id: "s1", isGone: true }]);
  expect(event("capture.removed", "fail-1", null)).toEqual([
    { kind: "captures", id: "fail-1", isGone: true },
  ]);
  expect(event("template.built", "node", null)).toEqual([{ kind: "templates" }]);
  expect(event("clock.jumped", "host", null)).toEqual([]);
});

test("a command line is split as a shell splits it, and what is formatted splits back", () => {
  expect(splitLine(`thaw exec web -- sh -c 'a "b" $c' "d e"\\ f`)).toEqual([
    "thaw",
    "exec",
    "web",
    "--",
    "sh",
    "-c",
    'a "b" $c',
    "d e f",
  ]);
  expect(() => splitLine("thaw 'x")).toThrow("closing ' is missing");
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1 })), (args) => {
      expect(splitLine(formatArgs(args, "a", "a")).slice(1)).toEqual(args);
    }),
  );
  expect(formatArgs(["rm", "web"], "ci-3", "local")).toBe("thaw --context ci-3 rm web");
});

test.each([
  ["a", { name: "a" }, "a"],
  ["A", { name: "a", shift: true }, "A"],
  [" ", { name: "space", sequence: " " }, "space"],
  ["\r", { name: "return", sequence: "\r" }, "return"],
  ["\x03", { name: "c", ctrl: true, sequence: "\x03" }, "ctrl-c"],
  [undefined, { name: "tab", shift: true, sequence: "\x1b[Z" }, "shift-tab"],
  ["\x1b", { name: "escape", meta: true, sequence: "\x1b" }, "escape"],
  ["é", { name: undefined, sequence: "é" }, "é"],
])("the key %j is called %3$s", (text, pressed, name) => {
  expect(nameKey(text, pressed as never).name).toBe(name);
});

describe("keys as the terminal sends them", () => {
  /** The keys of what comes in these pieces, each after the one before has been read. */
  async function read(...chunks: string[]): Promise<string[]> {
    const stdin = new PassThrough();
    const keys: string[] = [];
    using _reading = readKeys(stdin, ({ name, text }) =>
      keys.push(name === "paste" ? `paste ${text}` : name),
    );
    for (const chunk of chunks) {
      stdin.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
    }
    // the escape key is one only when nothing has come for 50 ms
    stdin.write("!");
    await vi.waitFor(() => expect(keys.at(-1)).toBe("!"));
    return keys.slice(0, -1);
  }

  test.each([
    [
      ["\x1b", "q"],
      ["escape", "q"],
    ],
    [["\x1bQ"], ["escape", "Q"]],
    [
      ["\x1b", "\r"],
      ["escape", "return"],
    ],
    [["\x1b\x03"], ["escape", "ctrl-c"]],
    [["\x1b\x1b[A"], ["escape", "up"]],
    [
      ["\x1b[", "B", "\x1b[1;2A"],
      ["down", "shift-up"],
    ],
    [["\x1b\x7f"], ["alt-backspace"]],
    [
      ["\x1b[200~dy\r", "rm -rf\x03\x1b[31m", "\x1b[201~", "j"],
      ["paste dy rm -rf", "j"],
    ],
    [
      ["日", "👍", "\x1bOP"],
      ["日", "👍", "f1"],
    ],
  ])("%j are %j", async (chunks, names) => {
    expect(await read(...chunks)).toEqual(names);
  });
});

test("no key means two things in one view, and the table of keys in the docs is this one", async () => {
  const everywhere = GLOBAL_KEYS.flatMap(({ keys }) => keys);
  for (const { verbs } of views) {
    const keys = [...everywhere, ...verbs.map(({ key }) => key), "1", "2", "3", "4", "5"];
    expect(keys.filter((key, index) => keys.indexOf(key) !== index)).toEqual([]);
  }
  await expect(`# Keys of the dashboard\n\n${keysAsMarkdown(views)}\n`).toMatchFileSnapshot(
    "../../../docs/DASHBOARD-KEYS.md",
  );
});

describe("keys", () => {
  let store: Store;
  const run = { quit: vi.fn(), suspend: vi.fn(), repaint: vi.fn() };
  const type = (...names: string[]): void => {
    const actor = new Actor({
      ...{ store, current: "ci-3", handOver: (work) => work(), signal: new AbortController().signal },
      client: () => {
        throw new Error("the host was asked");
      },
    });
    for (const name of names)
      press({ name, text: name === "space" ? " " : name.length === 1 ? name : "" }, { store, actor, ...run });
  };
  const selected = (): string | undefined => store.state.lists.sandboxes.selected;
  const names = (): string[] => listRows(viewOf("sandboxes"), store.state).rows.map(({ name }) => name);

  beforeEach(() => {
    store = new Store(dashboard({ cols: 80, rows: 24 }));
    vi.clearAllMocks();
  });

  test("a form makes a command line: fields that are empty are left out, choices are gone through", () => {
    type("n");
    const line = (): string => {
      const { prompt } = store.state;
      return prompt?.kind === "form" ? lineOf(prompt) : "";
    };
    expect(line()).toBe("thaw create");
    type("right", "down", "down", "w", "e", "x", "backspace", "b", "up", "up", "up");
    type("@", "n", "p", "m", "space", "space", "*", ".", "a", ".", "b");
    expect(line()).toBe("thaw create --template node --name web --allow @npm --allow '*.a.b'");
    for (const text of formatBottom(store.state, layOutWindow(store.state).bottom))
      expect(widthOf(stripSequences(text))).toBe(80);
    type("escape");
    expect(store.state.prompt).toBeUndefined();
  });

  test("a page that no browser shows is copied", () => {
    vi.stubEnv("BROWSER", "");
    vi.stubEnv("DISPLAY", "");
    vi.stubEnv("WAYLAND_DISPLAY", "");
    const wrote = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    type("2", "o");
    expect(store.state.message?.text).toBe("copied the address: https://github.com/acme/shop/pull/412");
    expect(wrote).toHaveBeenCalledWith(expect.stringContaining("]52;c;"));
    wrote.mockRestore();
    vi.unstubAllEnvs();
  });

  test("the cursor stays on its row, not at its place; a row that goes leaves it to the next", () => {
    type("j", "j");
    expect(selected()).toBe("ci-3/s1");
    const add = sandbox({ id: "s0", name: "newest", createdAt: new Date(Date.now() + 1e9).toISOString() });
    store.setHost("ci-3", (host) => ({ ...host, sandboxes: new Map([...host.sandboxes, ["s0", add]]) }));
    expect(names()[0]).toBe("newest");
    type("j");
    expect(selected()).toBe("ci-3/s2");
    store.setHost("ci-3", (host) => ({
      ...host,
      sandboxes: new Map([...host.sandboxes].filter(([id]) => id !== "s2")),
    }));
    // it was the last: the one before it is the last now
    type("k");
    expect(selected()).toBe("ci-3/s3");
  });

  test("a filter narrows the list while it is typed, and esc drops it", () => {
    type("/", "s", "h", "p");
    expect(names()).toEqual(["shop-pr-412"]);
    type("return");
    expect(store.state.prompt).toBeUndefined();
    type("escape");
    expect(names()).toHaveLength(4);
  });

  test("removing asks first; no key but y does it", () => {
    type("space", "space", "d");
    expect(store.state.prompt).toMatchObject({ kind: "confirm", keys: ["ci-3/s4", "ci-3/s3"] });
    type("return");
    expect(store.state.jobs).toEqual([]);
    expect(store.state.lists.sandboxes.marked.size).toBe(2);
    type("d", "y");
    expect(store.state.jobs.map(({ command }) => command)).toEqual([
      "thaw rm replay-7k2q",
      "thaw rm 'agent-日本語'",
    ]);
  });

  test("what fails is said, and kept in the command log", async () => {
    type("f");
    await vi.waitFor(() =>
      expect(store.state.message).toMatchObject({ text: "the host was asked", tone: "bad" }),
    );
    expect(store.state.jobs).toMatchObject([{ command: "thaw fork replay-7k2q", state: "failed" }]);
  });

  test("a verb that needs more shows its command line, to be completed", () => {
    type("z", "a", "b", "backspace");
    expect(store.state.prompt).toMatchObject({ kind: "command", text: "thaw freeze replay-7k2q a" });
    type("escape");
    expect(store.state.prompt).toBeUndefined();
  });

  test("pasted text is no keys: it does nothing to a row, and is one line in a question", () => {
    press({ name: "paste", text: "dy" }, { store, actor: {} as never, ...run });
    expect(store.state).toMatchObject({ prompt: undefined, jobs: [] });
    type("/");
    press({ name: "paste", text: "shop" }, { store, actor: {} as never, ...run });
    expect(names()).toEqual(["shop-pr-412"]);
  });

  test("in a window that is too small no key acts on a row, and one can leave", () => {
    store.set({ size: { cols: 20, rows: 6 } });
    type("d", "y", "p", "z", "x");
    expect(store.state).toMatchObject({ prompt: undefined, jobs: [] });
    type("q");
    expect(run.quit).toHaveBeenCalledWith(0);
  });

  test("views by number and by name; the help and its end; quitting", () => {
    type("2");
    expect(store.state.view).toBe("failures");
    type(":", "t", "e", "m", "return");
    expect(store.state.view).toBe("templates");
    type("?");
    expect(store.state.overlay).toBe("help");
    type("q");
    expect(store.state.overlay).toBeUndefined();
    expect(run.quit).not.toHaveBeenCalled();
    type("q");
    expect(run.quit).toHaveBeenCalledWith(0);
    type("ctrl-c");
    expect(run.quit).toHaveBeenLastCalledWith(130);
  });
});

test("of snapshots that share a layer the own size is told, and what their removal frees", () => {
  const part = (name: string, mib: number) => ({
    ...{ name, sizeBytes: mib << 20, storedBytes: mib << 20, sha256: name },
  });
  const tags = ["base", "one", "two"] as const;
  const made = tags.map((tag, index) =>
    snapshot({ id: tag, tags: [tag], parts: [part("disk", 300), part(`memory of ${tag}`, 50 + index)] }),
  );
  const state = dashboard({ cols: 120, rows: 40 });
  const host = { ...newHost("h"), snapshots: new Map(made.map((each) => [each.id, each])) };
  // Another host's are other files.
  const alone = { ...newHost("other"), snapshots: new Map([["base", made[0] as (typeof made)[0]]]) };
  const view = viewOf("snapshots");
  const rows = view.rows([host, alone]);
  const sizes = rows.map((row) => {
    const lines = view.panes[0]?.lines?.(row, { ...state, hosts: [host, alone] }, 120) ?? [];
    const line = lines.find(([first]) => first?.text.startsWith("size"));
    return `${row.context} ${row.name}: ${line?.map(({ text }) => text).join("")}`.replace(/ +/g, " ");
  });
  expect(sizes.sort()).toEqual([
    "h base: size 50 MiB of its own, 300 MiB shared with other snapshots",
    "h one: size 51 MiB of its own, 300 MiB shared with other snapshots",
    "h two: size 52 MiB of its own, 300 MiB shared with other snapshots",
    "other base: size 350 MiB",
  ]);
  const remove = view.verbs.find(({ key }) => key === "d");
  const asked = (of: typeof rows) => (remove?.kind === "call" ? remove.question?.(of, state)[1] : undefined);
  expect(asked(rows.filter(({ name }) => name === "one"))).toMatch(/^Frees up to 51 MiB\./);
  expect(asked(rows.filter(({ context }) => context === "h"))).toMatch(/^Frees up to 453 MiB\./);
  expect(asked(rows.filter(({ context }) => context === "other"))).toMatch(/^Frees up to 350 MiB\./);
});
