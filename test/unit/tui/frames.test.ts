/** Frames of the dashboard at three sizes. `vitest run --project unit test/unit/tui -u` writes them anew; the docs show them. */
import { renderToString } from "ink";
import { createElement } from "react";
import stringWidth from "string-width";
import { describe, expect, test } from "vitest";
import { Frame } from "../../../cli/tui/draw/dashboard.tsx";
import type { Prompt, State, ViewId } from "../../../cli/tui/state/state.ts";
import { VIEW_IDS } from "../../../cli/tui/state/state.ts";
import { capture, dashboard, sandbox } from "./world.ts";

const sizes = [
  [80, 24],
  [120, 40],
  [200, 60],
] as const;

function draw(state: State): string[] {
  return renderToString(createElement(Frame, { state }), { columns: state.size.cols }).split("\n");
}

describe.each(sizes)("%i × %i", (cols, rows) => {
  test.each(VIEW_IDS)("%s", async (view: ViewId) => {
    const state = { ...dashboard({ cols, rows }), view };
    const lines = draw(state);
    expect(lines).toHaveLength(rows);
    await expect(`${lines.map((line) => line.trimEnd()).join("\n")}\n`).toMatchFileSnapshot(
      `../../../docs/dashboard/${view}-${cols}x${rows}.txt`,
    );
  });
});

test("with one host no column names it, and at 120 columns there is room for the command that runs", () => {
  const shown = (count: number): string => {
    const state = dashboard({ cols: 120, rows: 40 });
    return draw({ ...state, hosts: state.hosts.slice(0, count) }).join("\n");
  };
  expect(shown(2)).toMatch(/PORTS +HOST *$/m);
  const one = shown(1);
  expect(one).toMatch(/PORTS +COMMAND *$/m);
  expect(one).toMatch(/web +running .* 3000 +npm run dev *$/m);
});

const confirm: Prompt = { kind: "confirm", lines: ["Remove web?", "All is lost."], verb: "d", keys: [] };
const hostile = "evil\x1b[2J\x1b]52;c;aGk=\x07\x9b31m\r\n\u202eabc 👩‍👩‍👧‍👦 日本語 e\u0301 ".repeat(40);

/** Every size from the smallest, with every part open, and names made by somebody hostile. */
test.each([
  [1, 1],
  [20, 6],
  [59, 14],
  [60, 15],
  [61, 17],
  [79, 23],
  [133, 37],
])("at %i × %i no line is wider, none is missing, and no control character gets through", (cols, rows) => {
  const base = dashboard({ cols, rows });
  const [host] = base.hosts;
  if (host === undefined) throw new Error("no host");
  const many = Array.from({ length: 300 }, (_, n) =>
    sandbox({ id: `h${n}`, name: `${n}${hostile}`, from: hostile, reason: hostile }),
  );
  const failure = capture({ id: hostile, host: hostile });
  const hosts = [
    {
      ...host,
      sandboxes: new Map(many.map((each) => [each.id, each])),
      captures: new Map([[failure.id, failure]]),
    },
    { ...base.hosts[1], context: "b", status: "offline" as const, trouble: { message: hostile } },
  ] as State["hosts"];
  const variants: Partial<State>[] = [
    {},
    { view: "failures" },
    { overlay: "help" },
    {
      overlay: "jobs",
      jobs: [{ id: 1, command: hostile, state: "failed", startedAt: 0, output: [hostile] }],
    },
    { prompt: confirm },
    {
      prompt: {
        ...{ kind: "form", args: ["create"], at: 1, context: "b", current: "a" },
        fields: ["--name", "--ttl"].map((flag) => ({ flag, label: hostile, value: hostile, hint: hostile })),
      },
    },
    { prompt: { kind: "command", text: hostile, context: "local" } },
    { message: { text: hostile, tone: "bad", hint: hostile } },
    { pane: { ...base.pane, isFull: true, index: 5 } },
    { pane: { ...base.pane, isOpen: false } },
  ];
  for (const variant of variants) {
    const lines = draw({ ...base, hosts, ...variant });
    if (cols < 60) expect(lines.length).toBeLessThanOrEqual(rows);
    else expect(lines).toHaveLength(rows);
    for (const line of lines) {
      expect(stringWidth(line)).toBeLessThanOrEqual(cols);
      expect(line).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u);
    }
  }
});
