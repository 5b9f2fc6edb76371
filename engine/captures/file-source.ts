/** Where the files of a capture are read from. */
import type { Agent } from "../../runners/agent/agent.ts";
import type { DiskEntry } from "../../runners/runner.ts";

/** `memory`: of the machine as it was. `files`: of its disk. */
export type FileLevel = "memory" | "files";

type CapturedEntry = Omit<DiskEntry, "inode">;

export interface FileSource {
  readonly level: FileLevel;
  /** Of the machine; null for a disk. */
  readonly agent: Agent | null;
  /** What is at a path, and in it when it is a folder. Links are not followed. Throws `not-found`. */
  look(
    path: string,
    signal: AbortSignal,
  ): Promise<{ entry: CapturedEntry; entries: CapturedEntry[]; truncated: boolean }>;
  /** A file's bytes. Throws `not-found`, or `conflict` for what is not a file. */
  read(path: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>>;
  /** Between users. */
  rest?(): Promise<void>;
  wake?(): Promise<void>;
  close(): Promise<void>;
}
