/** How long a command may be: as long as Linux takes it. */

/** Of one argument or variable (`NAME=value`), in bytes, with the NUL at its end. */
export const MAX_WORD_BYTES = 131_072;
/** Of all of them, with a pointer to each. */
export const MAX_COMMAND_BYTES = 2 << 20;
/** What the agent adds to a command's own variables: PATH, HOME and others, and the program's path. */
const ADDED_BYTES = 8_192;
const POINTER_BYTES = 8;

/** The way round for a command that is too long. */
export const LONG_COMMAND_HINT = "copy the long text as a file (thaw cp), or pass it on stdin (-i)";

const encoder = new TextEncoder();

/** In UTF-8. */
const byteLength = (text: string): number => encoder.encode(text).length;

interface Command {
  argv: readonly string[];
  env?: Readonly<Record<string, string>> | undefined;
}

/** @returns what of a command is too long, in words; undefined when Linux takes it */
export function tooLong({ argv, env = {} }: Command): string | undefined {
  let total = ADDED_BYTES;
  const count = (bytes: number): void => {
    total += bytes + 1 + POINTER_BYTES;
  };
  for (const [index, word] of argv.entries()) {
    const bytes = byteLength(word);
    if (bytes >= MAX_WORD_BYTES)
      return `argument ${index} has ${bytes} bytes; the limit is ${MAX_WORD_BYTES - 1}`;
    count(bytes);
  }
  for (const [name, value] of Object.entries(env)) {
    const bytes = byteLength(name) + 1 + byteLength(value);
    if (bytes >= MAX_WORD_BYTES)
      return `the variable ${name.slice(0, 100)} has ${bytes} bytes with its name; the limit is ${MAX_WORD_BYTES - 1}`;
    count(bytes);
  }
  if (total <= MAX_COMMAND_BYTES) return undefined;
  return `the arguments and variables of the command have ${total} bytes with a pointer to each; the limit is ${MAX_COMMAND_BYTES}`;
}

/** Of a command's arguments as records and lists show them. */
const SHOWN_CHARS = 16_384;
const SHOWN_WORDS = 1000;

/** The beginning of a command: what is longer is left out, and said so in the last word. */
export function shortened(argv: readonly string[]): string[] {
  const shown: string[] = [];
  let room = SHOWN_CHARS;
  for (const [index, word] of argv.entries()) {
    if (word.length >= room || (index === SHOWN_WORDS - 1 && argv.length > SHOWN_WORDS)) {
      const left = argv.length - index - 1;
      return [...shown, `${word.slice(0, room)}…${left > 0 ? ` and ${left} more` : ""}`];
    }
    shown.push(word);
    room -= word.length + 1;
  }
  return shown;
}
