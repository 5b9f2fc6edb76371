/** Whatever a guest writes, in whatever pieces: the runner that reads the step's log takes no line of it for a command. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GuestLog } from "../../action/log.ts";
import { COMMANDS, CommandManager, parseCommand } from "../action-runner/commands.ts";
import { FORMS, hostileLines } from "../action-runner/hostile.ts";
import { LineReader } from "../action-runner/lines.ts";

const TOKEN = "3f0e2a94-8f1f-4a3f-9c55-6a3b1e0a7d11";

interface Piece {
  stream: "stdout" | "stderr";
  bytes: Uint8Array;
}

/** What the step writes to its own stdout, as lines. */
async function logOf(pieces: readonly Piece[]): Promise<string[]> {
  const written: string[] = [];
  const log = new GuestLog({ token: TOKEN, write: (text) => void written.push(text) });
  await log.openFence();
  for (const { stream, bytes } of pieces) await log[stream].push(bytes);
  await log.closeFence();
  const lines: string[] = [];
  const reader = new LineReader((line) => lines.push(line));
  for (const text of written) reader.write(Buffer.from(text));
  reader.end();
  return lines;
}

/** .NET's comparisons may pass over what has no width; the runner's own take off colours for problem matchers. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const nothing = /[\p{Default_Ignorable_Code_Point}\p{Cf}\u0000]|\u001b\[[0-9;]*m/gu;
const isKnown = (name: string): boolean =>
  [...COMMANDS, "internal-set-repo-path", TOKEN].some((known) => known.toUpperCase() === name.toUpperCase());

/** @returns what a runner would obey, with the fence and without it, however it compares */
async function obeyed(pieces: readonly Piece[]): Promise<string[]> {
  const lines = await logOf(pieces);
  const manager = new CommandManager();
  for (const line of lines) manager.process(line, "stdout");
  const [first, ...rest] = manager.honoured;
  expect(first?.line).toBe(`::stop-commands::${TOKEN}`);
  expect(manager.stopped).toBe(false);
  const ours = new Set([`::stop-commands::${TOKEN}`, `::${TOKEN}::`]);
  const bare = lines.filter((line) => !ours.has(line));
  const found = bare.filter((line) =>
    [line, line.replace(nothing, "")].some((text) => parseCommand(text, isKnown)),
  );
  return [
    ...rest.map(({ line }) => line),
    ...found,
    ...bare.filter((line) => line.replace(nothing, "").includes("##[")),
  ];
}

const whole = (bytes: Uint8Array, stream: Piece["stream"] = "stdout"): Piece => ({ stream, bytes });

describe("no line of a guest is a command", () => {
  test.each(Object.entries(FORMS))("%s", async (_name, form) => {
    for (const command of COMMANDS)
      expect(await obeyed([whole(Buffer.from(`${form(command)}\n`))])).toEqual([]);
    const bytes = Buffer.from(`${form("error")}\n`);
    expect(await obeyed([...bytes].map((byte) => whole(Uint8Array.of(byte))))).toEqual([]);
  });

  test("of the corpus in one piece, without a last line's end, and on both streams by turns", async () => {
    const lines = hostileLines();
    const all = Buffer.concat(lines.flatMap((line) => [line, Buffer.from("\n")]));
    expect(await obeyed([whole(all)])).toEqual([]);
    for (const line of lines) expect(await obeyed([whole(line), whole(line, "stderr")])).toEqual([]);
    const turns = lines.map((line, n) =>
      whole(Buffer.concat([line, Buffer.from("\n")]), n % 2 === 0 ? "stdout" : "stderr"),
    );
    expect(await obeyed(turns)).toEqual([]);
  });

  test("cut where a long line is told in pieces", async () => {
    for (const command of ["::error::x", "##[error]x"])
      for (let before = 32_768 - command.length - 2; before <= 32_768 + 2; before++)
        expect(await obeyed([whole(Buffer.from(`${"x".repeat(before)}${command}\n`))])).toEqual([]);
  });

  test("guessed: the fence's end comes from us alone", async () => {
    const guesses = [`::${TOKEN}::`, ` ::${TOKEN}::`, `##[${TOKEN}]`, `::${TOKEN.toUpperCase()}::`, "::*::"];
    const lines = await logOf([whole(Buffer.from(`${guesses.join("\n")}\n`))]);
    const manager = new CommandManager();
    for (const line of lines.slice(0, -1)) manager.process(line, "stdout");
    expect(manager.stopped).toBe(true);
  });

  test("of pieces in any order", async () => {
    const atoms = fc.constantFrom(
      ...[
        ":",
        "::",
        "#",
        "##",
        "[",
        "##[",
        "]",
        "error",
        "ERROR",
        "stop-commands",
        "set-output name=a",
        " ",
        "\t",
        "\r",
        "\n",
        "\r\n",
      ],
      ...[
        "\u001b",
        "\u001b[",
        "\u001b[0m",
        "\u001b[2K",
        "\u001b]0;",
        "\u0007",
        "\u001b\\",
        "\0",
        "\b",
        "\u200b",
        "\ufeff",
        "\u0085",
      ],
      ...["\u00ad", "\u2028", "\u202e", "x", "%0A", "\u009b", "\ud83d\ude00", "\u0338"],
    );
    const stream = fc.constantFrom<Piece["stream"]>("stdout", "stderr");
    const pieces = fc.array(fc.tuple(stream, fc.array(atoms, { maxLength: 6 })), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(pieces, async (given) => {
        const bytes = given.map(([name, parts]) => whole(Buffer.from(parts.join("")), name));
        expect(await obeyed(bytes)).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });
});

test("text of no command stays as it is", async () => {
  const lines = [
    "a: b :: c",
    "std::vector<int>::iterator",
    "## [x]",
    "# heading",
    "C:\\path",
    "ok \u001b[32mgreen\u001b[0m",
    "ä 😀",
  ];
  const told = await logOf([whole(Buffer.from(`${lines.join("\n")}\n`))]);
  expect(told.slice(1, -1)).toEqual(lines);
});
