/** What clients were told: what has to be there, and what must be in it. */

export class Broken extends Error {
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

/** What a machine holds: the key of the step that made it first, and one line for each command that wrote one. */
export interface Content {
  /** null: not known, because the answer was a failure that a fault explains. */
  mark: string | null;
  /** `told`: a client was told of it, so it is there, once. `maybe`: there or not, but not twice. */
  lines: Map<string, "told" | "maybe">;
  /** What it was copied from: a line that was written meanwhile may be in the copy. */
  from: Content | null;
}

export interface ToldSandbox {
  id: string;
  content: Content;
  /** Names it may have. */
  names: Set<string>;
  /** What was done to its machine. */
  fault: string | null;
  /** Somebody paused or stopped it, and it has run no command since: what needs it to run is refused. */
  isStill: boolean;
  fate: "lives" | "maybe gone" | "gone";
}

export interface ToldImage {
  /** The tag of a snapshot, the id of a capture. */
  ref: string;
  id: string;
  content: Content;
}

export interface ToldCapture extends ToldImage {
  /** Taken for a command that failed: one that somebody took of a machine can't be run again. */
  hasCommand: boolean;
}

export class Told {
  readonly sandboxes = new Map<string, ToldSandbox>();
  readonly snapshots = new Map<string, ToldImage>();
  readonly captures = new Map<string, ToldCapture>();
}

export const newContent = (mark: string | null): Content => ({ mark, lines: new Map(), from: null });

/** Of a copy that is taken now. */
export function copyContent(from: Content): Content {
  return { mark: from.mark, lines: new Map(from.lines), from };
}

/** The script that prints what {@link checkContent} reads. The first line is the mark's, also where a full disk let nobody write one. */
export const SHOW_CONTENT = 'echo "$(cat /root/mark 2>/dev/null)"; cat /root/log 2>/dev/null; true';

/** @throws Broken */
export function checkContent(whose: string, { mark, lines, from }: Content, text: string): void {
  const [foundMark = "", ...found] = text.trimEnd().split("\n");
  if (mark !== null && foundMark !== mark)
    throw new Broken("content is kept", `${whose} has the mark ${foundMark}, not ${mark}`);
  for (const [line, known] of lines)
    if (known === "told" && !found.includes(line))
      throw new Broken("what was written is kept", `${whose} has lost the line ${line}`);
  const seen = new Set<string>();
  for (const line of found) {
    if (seen.has(line)) throw new Broken("nothing is run twice", `${whose} has the line ${line} twice`);
    if (mark !== null && !lines.has(line) && !mayHave(from, line))
      throw new Broken("no machine has another's content", `${whose} has the line ${line}`);
    seen.add(line);
  }
}

function mayHave(content: Content | null, line: string): boolean {
  return content !== null && (content.lines.has(line) || mayHave(content.from, line));
}
