/** Outputs that a script has set: its GITHUB_OUTPUT is a file of the guest, and so is anything that the guest made of it. */
import { isUtf8 } from "node:buffer";

/** What the runner takes of an output, by its documentation. */
const MAX_VALUE_BYTES = 1 << 20;
export const MAX_FILE_BYTES = 4 << 20;

export interface GuestOutputs {
  values: Map<string, string>;
  /** What was not taken, and why. Names are the guest's. */
  refused: string[];
}

interface Entry {
  name: string;
  value: string;
}

/**
 * Reads a file as the runner does: `NAME=VALUE`, or `NAME<<DELIMITER`, lines, `DELIMITER`. The last value of a name counts. Only names that
 * are asked for are taken. A file that breaks the format is read up to there.
 */
export function parseGuestOutputs(content: Uint8Array, names: readonly string[]): GuestOutputs {
  const values = new Map<string, string>();
  const refused: string[] = [];
  const unknown = new Set<string>();
  for (const entry of entriesOf(toBytes(content))) {
    if (typeof entry === "string") {
      refused.push(decode(entry));
      continue;
    }
    const name = decode(entry.name);
    if (!names.includes(name)) {
      unknown.add(name.slice(0, 100));
      continue;
    }
    // The last one counts, also where it is refused.
    values.delete(name);
    const bytes = Buffer.from(entry.value, "latin1");
    if (bytes.includes(0)) refused.push(`${name} contains a NUL byte`);
    else if (bytes.length > MAX_VALUE_BYTES) refused.push(`${name} has more than ${MAX_VALUE_BYTES} bytes`);
    else if (!isUtf8(bytes)) refused.push(`${name} is not UTF-8`);
    else values.set(name, bytes.toString());
  }
  for (const name of [...unknown].slice(0, 20))
    refused.push(`${JSON.stringify(name)} is not listed in \`outputs\``);
  if (unknown.size > 20) refused.push(`${unknown.size - 20} more are not listed in \`outputs\``);
  return { values, refused };
}

/** A character for each byte, so that what is not UTF-8 spoils only its own entry; without a mark of byte order. */
function toBytes(content: Uint8Array): string {
  return Buffer.from(content)
    .toString("latin1")
    .replace(/^\u00ef\u00bb\u00bf/, "");
}

function decode(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString();
}

/** Entries in order; a text says what is wrong, and is the last. */
function* entriesOf(text: string): Generator<Entry | string, void> {
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const line = (lines[at] ?? "").replace(/\r$/, "");
    if (line === "") continue;
    const [, name, sign, rest] = /^(.*?)(=|<<)(.*)$/s.exec(line) ?? [];
    if (name === undefined || name === "" || rest === undefined || (sign === "<<" && rest === "")) {
      yield `line ${at + 1} of $GITHUB_OUTPUT is neither NAME=VALUE nor NAME<<DELIMITER`;
      return;
    }
    if (sign === "=") {
      yield { name, value: rest };
      continue;
    }
    let end = at + 1;
    while (end < lines.length && (lines[end] ?? "").replace(/\r$/, "") !== rest) end += 1;
    if (end === lines.length) {
      yield `the value of ${JSON.stringify(name.slice(0, 100))} has no closing delimiter`;
      return;
    }
    yield { name, value: lines.slice(at + 1, end).join("\n") };
    at = end;
  }
}
