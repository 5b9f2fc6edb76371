/** Who did what, from where, append-only, one JSON object a line. Never blocks or fails what it records. */
import { appendFile, type FileHandle, open } from "node:fs/promises";
import { type AuditEntry, type AuditPage, auditEntry } from "../api/audit.ts";
import { currentCaller } from "./caller.ts";

const CHUNK_BYTES = 64 * 1024;
/** Read for one page at most, however long the lines are. */
const PAGE_BYTES = 4 * 2 ** 20;
const NEWLINE = 10;

export class Audit {
  readonly #path: string;
  #last: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  note(verb: string, target: string, details: Record<string, unknown> = {}): void {
    const time = new Date().toISOString();
    const line = `${JSON.stringify({ time, verb, target, by: currentCaller(), ...details })}\n`;
    this.#last = this.#last.then(() => appendFile(this.#path, line, { mode: 0o600 })).catch(() => {});
  }

  async flush(): Promise<void> {
    await this.#last;
  }

  /** Entries from the newest on, or from those before the byte `before` of the file. Lines that can't be read are left out. */
  async read({ limit, before }: { limit: number; before?: number | undefined }): Promise<AuditPage> {
    await this.flush();
    const file = await openExisting(this.#path);
    if (file === null) return { entries: [], next: null };
    try {
      const { size } = await file.stat();
      const end = Math.min(before ?? size, size);
      const { text, start } = await readBackwards(file, { end, lines: limit });
      const entries = text
        .split("\n")
        .flatMap((line) => parseEntry(line) ?? [])
        .reverse();
      return { entries, next: start === 0 ? null : start };
    } finally {
      await file.close();
    }
  }
}

async function openExisting(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** The last `lines` lines before `end`, or as many as fit into a page. @returns their text, and where it starts */
async function readBackwards(
  file: FileHandle,
  { end, lines }: { end: number; lines: number },
): Promise<{ text: string; start: number }> {
  let bytes = Buffer.alloc(0);
  let from = end;
  while (from > 0 && bytes.length < PAGE_BYTES) {
    const length = Math.min(CHUNK_BYTES, from);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, from - length);
    bytes = Buffer.concat([buffer.subarray(0, bytesRead), bytes]);
    from -= length;
    const starts = lineStarts(bytes, from === 0);
    const first = starts.at(-lines);
    if (first !== undefined) return { text: bytes.toString("utf8", first), start: from + first };
  }
  const first = lineStarts(bytes, from === 0)[0] ?? bytes.length;
  return { text: bytes.toString("utf8", first), start: from + (first === bytes.length ? 0 : first) };
}

/** Where whole lines start in bytes that end with one. */
function lineStarts(bytes: Buffer, isWhole: boolean): number[] {
  const starts = isWhole && bytes.length > 0 ? [0] : [];
  for (let at = bytes.indexOf(NEWLINE); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(NEWLINE, at + 1))
    starts.push(at + 1);
  return starts;
}

function parseEntry(line: string): AuditEntry | undefined {
  try {
    const { time, verb, target, by, ...details } = JSON.parse(line) as Record<string, unknown>;
    return auditEntry.safeParse({ time, verb, target, by, details }).data;
  } catch {
    return undefined;
  }
}
