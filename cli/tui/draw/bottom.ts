import { showKey } from "../../../client/index.ts";
import { lineOf } from "../form.ts";
import { candidates } from "../jump.ts";
import type { Form, Prompt, State } from "../state/state.ts";
import { viewOf } from "../views/index.ts";
import { cutStart, type Line, type Piece, paint, paintSides } from "./text.ts";
import { widthOf } from "./width.ts";

const CURSOR = "▏";

/** The fields, and beneath them the command that they make. */
function formLines(form: Form, cols: number): Line[] {
  const width = Math.max(...form.fields.map(({ label }) => label.length));
  const fields = form.fields.map(({ label, value, hint, choices = [] }, index): Line => {
    const isHere = index === form.at;
    return [
      { text: ` ${label.padEnd(width)}  `, tone: isHere ? "accent" : "dim" },
      { text: cutStart(value, Math.max(10, cols - width - 30)), tone: "strong" },
      { text: isHere ? CURSOR : "", tone: "accent" },
      {
        text: `  ${isHere && choices.length > 0 ? "← →  " : ""}${isHere || value === "" ? hint : ""}`,
        tone: "dim",
      },
    ];
  });
  const keys = "   ↵ run, esc cancel";
  return [
    ...fields,
    [
      { text: " $ ", tone: "accent" },
      { text: cutStart(lineOf(form), Math.max(10, cols - keys.length - 3)), tone: "strong" },
      { text: keys, tone: "dim" },
    ],
  ];
}

function promptLine(prompt: Exclude<Prompt, { kind: "confirm" | "form" }>, state: State): Line {
  const names = { filter: "/", search: "\\", jump: ":", command: "$ ", count: "" } as const;
  const title = prompt.kind === "count" ? `${prompt.title}: ` : names[prompt.kind];
  const hints = {
    filter: "",
    search: "",
    jump: candidates(prompt.text, state)
      .slice(0, 8)
      .map(({ name }) => name)
      .join("  "),
    command: "↵ run, esc cancel",
    count: "↵ start, esc cancel",
  } as const;
  // of a long line the end is seen: it is where one types
  const room = state.size.cols - widthOf(title) - 3;
  const text = cutStart(prompt.text, room);
  return [
    { text: ` ${title}`, tone: "accent" },
    { text, tone: "strong" },
    { text: CURSOR, tone: "accent" },
    { text: `  ${hints[prompt.kind]}`, tone: "dim" },
  ];
}

/** The question, else what came of the last key, else what is chosen. */
export function formatBottom(state: State, height: number): string[] {
  const { prompt, message, size } = state;
  const { filter, marked } = state.lists[state.view];
  if (prompt?.kind === "confirm")
    return [
      ...prompt.lines
        .slice(0, height - 1)
        .map((text, index) =>
          paint([{ text: ` ${text}`, tone: index === 0 ? "strong" : undefined }], size.cols),
        ),
      paint(
        [
          { text: " y ", tone: "bad" },
          { text: "yes   " },
          { text: "any other key ", tone: "accent" },
          { text: "no" },
        ],
        size.cols,
      ),
    ];
  if (prompt?.kind === "form")
    return formLines(prompt, size.cols)
      .slice(-height)
      .map((line) => paint(line, size.cols));
  if (prompt !== undefined) return [paint(promptLine(prompt, state), size.cols)];
  if (message !== undefined)
    return [
      paint(
        [
          { text: ` ${message.text}`, tone: message.tone },
          { text: message.hint === undefined ? "" : `  ${message.hint}`, tone: "dim" },
        ],
        size.cols,
      ),
    ];
  const chosen = [
    filter === "" ? "" : `filter: ${filter}`,
    marked.size === 0 ? "" : `${marked.size} marked`,
    ...state.hosts
      .filter(({ status }) => status === "offline")
      .map(({ context, trouble }) => `no connection to ${context}: ${trouble?.message ?? "it was closed"}`),
    ...state.hosts
      .filter(({ status, trouble }) => status !== "offline" && trouble !== undefined)
      .map(({ context, trouble }) => `${context}: ${trouble?.message}`),
    ...state.hosts
      .filter(({ unreadable }) => unreadable.size > 0)
      .map(
        ({ context, unreadable, info }) =>
          `${unreadable.size} entries of ${context} can't be shown: its daemon has another version (${info?.version ?? "unknown"})`,
      ),
  ].filter(Boolean);
  return [paint([{ text: ` ${chosen.join("  ·  ")}`, tone: "warn" }], size.cols)];
}

/** The last line: the keys that matter here. */
export function formatFooter(state: State): string {
  const view = viewOf(state.view);
  const keys = (pairs: readonly (readonly [string, string])[]): Piece[] =>
    pairs.flatMap(([key, label]): Piece[] => [
      { text: ` ${key}`, tone: "accent" },
      { text: ` ${label} `, tone: "dim" },
    ]);
  if (state.overlay !== undefined)
    return paint(
      keys([
        ["↑↓", "scroll"],
        ["esc", "close"],
      ]),
      state.size.cols,
    );
  const everywhere = keys([
    ["/", "filter"],
    [":", "go"],
    ["?", "help"],
    ["q", "quit"],
  ]);
  return paintSides(
    keys(view.verbs.map(({ key, label }) => [showKey(key), label])),
    everywhere,
    state.size.cols,
  );
}
