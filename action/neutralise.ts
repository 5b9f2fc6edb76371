/**
 * Text of a guest as the runner shows it and never obeys it.
 *
 * The runner (actions/runner, ActionCommand.cs) looks for commands line by line: `::name …::` at the start of a line, after white space, and
 * `##[name …]` anywhere. Its comparisons go by the culture's rules, which pass over characters of no width: a break made of such a
 * character would be none. So the break is a backslash, as the runner itself writes where it disarms `##[start-action`.
 */

/** Characters that compare as nothing. */
const NOTHING = "[\\p{Default_Ignorable_Code_Point}\\p{Cf}]";
const ESC = "\u001b";
const BEL = "\u0007";
/** Of escape sequences only those for colours stay. */
const COLOUR = `${ESC}\\[[0-9;]*m`;
const GAP = `(?:${NOTHING}|${COLOUR})*`;

const COMMANDS = [
  "add-mask",
  "add-matcher",
  "add-path",
  "debug",
  "echo",
  "endgroup",
  "error",
  "group",
  "internal-set-repo-path",
  "notice",
  "remove-matcher",
  "save-state",
  "set-env",
  "set-output",
  "stop-commands",
  "warning",
].join("|");

/** Escape sequences as ECMA-48 has them: CSI, OSC, other strings, and the rest. */
const ESCAPES = new RegExp(
  `${ESC}(?:\\[[0-?]*[ -/]*[@-~]|\\][^${BEL}${ESC}\\n]*(?:${BEL}|${ESC}\\\\)?|[PX^_][^${ESC}\\n]*(?:${ESC}\\\\)?|[ -/]*[0-~])?`,
  "g",
);
const IS_COLOUR = new RegExp(`^${COLOUR}$`);
/** All but tab, newline and the escape of a colour. */
const CONTROLS = new RegExp(`[^\\P{Cc}\\t\\n${ESC}]|\\p{Bidi_Control}`, "gu");

/** One class, and none of its characters in two alternatives: each character is looked at once. */
const BLANK = "(?!\\n)[\\s\\p{Default_Ignorable_Code_Point}\\p{Cf}]";
const COMMAND_AT_START = new RegExp(`^((?:${BLANK}|${COLOUR})*:${GAP}):`, "gmu");
const COMMAND_BY_NAME = new RegExp(`(:${GAP}):(?=${GAP}(?:${COMMANDS})(?: |::))`, "giu");
const BRACKET = new RegExp(`(#${GAP}#${GAP})\\[`, "gu");

/** @param text whole lines, or one line that is not over; each ends with `\n` alone */
export function neutralise(text: string): string {
  const visible = text
    .replace(ESCAPES, (sequence) => (IS_COLOUR.test(sequence) ? sequence : ""))
    .replace(CONTROLS, "");
  return visible
    .replace(COMMAND_AT_START, "$1\\:")
    .replace(COMMAND_BY_NAME, "$1\\:")
    .replace(BRACKET, "$1\\[");
}
