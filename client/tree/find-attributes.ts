import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { findBuildFolder } from "../version.ts";
import { LostAttributes } from "./attributes.ts";
import type { PackEntry } from "./pack.ts";
import type { SourceFolder } from "./source-folder.ts";

const BATCH_BYTES = 65_536;
const nul = Buffer.of(0);
/** Longest path of the program's output with all its names; the kernel's limits are 4,096 and 65,536 bytes. */
const MAX_RECORD_BYTES = 1 << 20;

/** The static program `thaw-xattrs`, which Node needs to see attributes; undefined when nothing was built. */
function findProgram(): string | undefined {
  const folder = findBuildFolder()?.folder;
  return folder === undefined ? undefined : join(folder, "agent", "thaw-xattrs");
}

/** Finds which of the files that are sent have extended attributes: one process per folder, which runs while they are sent. */
export class AttributeFinder implements Disposable {
  readonly #program: string | undefined;
  readonly #lost = new LostAttributes();
  readonly #folders = new Map<SourceFolder, Lookup>();
  readonly #signal: AbortSignal | undefined;

  /** @param options program: path of `thaw-xattrs`; default: that of this build. */
  constructor(options: { program?: string; signal?: AbortSignal | undefined } = {}) {
    this.#program = options.program ?? findProgram();
    this.#signal = options.signal;
  }

  /** Has an entry looked at. The program only tells names, so it does not matter when a part of the path became a link. */
  add({ folder, source }: PackEntry): void {
    if (this.#program === undefined) return;
    let lookup = this.#folders.get(folder);
    if (lookup === undefined) {
      lookup = new Lookup(folder, { program: this.#program, lost: this.#lost, signal: this.#signal });
      this.#folders.set(folder, lookup);
    }
    lookup.add(source);
  }

  /** @returns notes for people: which files have attributes, or that they were not looked at. */
  async finish(): Promise<string[]> {
    const failures = await Promise.all([...this.#folders.values()].map((lookup) => lookup.finish()));
    const failure = this.#program === undefined ? "thaw is not built" : failures.find((text) => text !== "");
    const found = this.#lost.describe();
    return [
      ...(found === undefined ? [] : [found]),
      ...(failure === undefined ? [] : [`extended attributes were not looked at: ${failure}`]),
    ];
  }

  [Symbol.dispose](): void {
    for (const lookup of this.#folders.values()) lookup.kill();
  }
}

/** One run of the program, in one folder. */
class Lookup {
  readonly #child: ChildProcess;
  readonly #folder: SourceFolder;
  readonly #lost: LostAttributes;
  readonly #ended: Promise<string>;
  #batch: Buffer[] = [];
  #batched = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(
    folder: SourceFolder,
    options: { program: string; lost: LostAttributes; signal: AbortSignal | undefined },
  ) {
    const { program, lost, signal } = options;
    this.#folder = folder;
    this.#lost = lost;
    this.#child = spawn(program, {
      cwd: folder.path,
      env: {},
      stdio: ["pipe", "pipe", "ignore"],
      signal,
      killSignal: "SIGKILL",
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once("error", (error: NodeJS.ErrnoException) => resolve(`${program}: ${error.code}`));
      this.#child.once("close", (code, signal) =>
        resolve(code === 0 ? "" : `${program} ended with ${code ?? signal}`),
      );
    });
    this.#child.stdin?.on("error", () => {});
    this.#child.stdout?.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  add(source: Buffer): void {
    const path = source.length === 0 ? Buffer.from(".") : source;
    this.#batch.push(path, nul);
    this.#batched += path.length + 1;
    if (this.#batched >= BATCH_BYTES) this.#flush();
  }

  /** @returns what went wrong; empty when nothing did. */
  async finish(): Promise<string> {
    this.#flush();
    this.#child.stdin?.end();
    return this.#ended;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #flush(): void {
    this.#child.stdin?.write(Buffer.concat(this.#batch, this.#batched));
    this.#batch = [];
    this.#batched = 0;
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (let end = this.#rest.indexOf("\0\0"); end >= 0; end = this.#rest.indexOf("\0\0")) {
      const [path = "", ...names] = this.#rest.toString("latin1", 0, end).split("\0");
      const shown = Buffer.from(this.#folder.show(Buffer.from(path, "latin1")));
      this.#lost.add(
        shown,
        names.map((name) => Buffer.from(name, "latin1").toString("utf8")),
      );
      this.#rest = this.#rest.subarray(end + 2);
    }
    if (this.#rest.length > MAX_RECORD_BYTES) this.kill();
  }
}
