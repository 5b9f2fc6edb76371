/** The real agent as an ordinary process, for what it makes of trees. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { PackEntry, SkippedEntry } from "../../client/tree/pack.ts";
import { packTree } from "../../client/tree/pack.ts";
import { Agent } from "../../runners/agent/agent.ts";
import { untilListening } from "./listening.ts";

const BINARY = "guest/target/x86_64-unknown-linux-gnu/release/thaw-agent";

/** Unpacks trees as a guest does. */
export interface GuestTrees {
  /** Sends entries to `folder`. @returns what was left out. */
  send(entries: Iterable<PackEntry>, folder: string): Promise<SkippedEntry[]>;
  /** What the guest's own walk of a folder gives. */
  read(folder: string, attributes?: boolean): Promise<AsyncIterable<Buffer>>;
  stat(path: string): ReturnType<Agent["stat"]>;
  close(): void;
}

export async function startGuestTrees(): Promise<GuestTrees> {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is not built: npm run bootstrap`);
  const dir = mkdtempSync(join(tmpdir(), "thaw-trees-"));
  const child = spawn(BINARY, ["--socket", join(dir, "s")], { stdio: ["ignore", "ignore", "inherit"] });
  await untilListening(child, join(dir, "s"));
  const socket = connect(join(dir, "s"));
  const agent = await Agent.connect(socket, { deadlineMs: 30_000 });
  return {
    send: async (entries, folder) => {
      const skipped: SkippedEntry[] = [];
      const onSkipped = (entry: SkippedEntry): number => skipped.push(entry);
      await agent.treeIn(folder, Readable.from(packTree(entries, { onSkipped })));
      return skipped;
    },
    read: async (folder, attributes = true) =>
      (await agent.treeOut(folder, attributes)) as AsyncIterable<Buffer>,
    stat: (path) => agent.stat(path),
    close: () => {
      socket.destroy();
      child.kill("SIGKILL");
      removeTree(dir);
    },
  };
}

/** Removes a folder that the agent may still be writing into: it notices a moment later that who sent a tree has given up. */
export function removeTree(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}
