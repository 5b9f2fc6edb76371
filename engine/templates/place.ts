/** Files that a recipe places in its machine before any step: those that its client sent, and those that this host fetches. */
import { createReadStream } from "node:fs";
import { posix } from "node:path";
import { Readable } from "node:stream";
import type { z } from "zod";
import type { templateFiles } from "../../api/template-files.ts";
import { sha256 } from "../../durable/digest.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { EngineError } from "../errors.ts";
import { type OnProgress, phase } from "../progress.ts";
import { runGuestStep } from "./guest-step.ts";
import type { Recipe } from "./recipe.ts";

const MODE = 0o644;
const EXECUTABLE = 0o755;

/** A file that was sent, with all that decides about it. */
export interface SentFile {
  to: string;
  mode: number;
  owner: string;
  sha256: string;
  data: Buffer;
}

/** The recipe's `files`, with what was sent of them. Throws `invalid-template` for those that were not sent. */
export function sentFiles(
  wanted: Pick<Recipe, "files">["files"],
  sent: z.infer<typeof templateFiles>,
): SentFile[] {
  return wanted.flatMap(({ from, to, mode, owner }) => {
    const name = posix.normalize(from).replace(/\/$/, "");
    const found = Object.entries(sent)
      .filter(([path]) => name === "." || path === name || path.startsWith(`${name}/`))
      .toSorted(([a], [b]) => (a < b ? -1 : 1));
    if (found.length === 0)
      throw new EngineError("invalid-template", `files: ${from} was not sent with the recipe`, {
        hint: "build the template by its path, with a thaw of this version",
      });
    return found.map(([path, { data, executable }]) => {
      const bytes = Buffer.from(data, "base64");
      const target =
        path === name
          ? to.endsWith("/")
            ? `${to}${posix.basename(path)}`
            : to
          : posix.join(to, name === "." ? path : path.slice(name.length));
      return {
        to: target,
        mode: mode ?? (executable ? EXECUTABLE : MODE),
        ...{ owner: owner ?? "root", sha256: sha256(bytes), data: bytes },
      };
    });
  });
}

/** Fetches first: nothing gets into the guest whose digest is wrong. */
export async function placeFiles(
  agent: Agent,
  { name, fetch, sent }: Pick<Recipe, "name" | "fetch" | "sent">,
  download: (one: Recipe["fetch"][number]) => Promise<string>,
  { onProgress, signal }: { onProgress: OnProgress; signal: AbortSignal },
): Promise<void> {
  for (const one of fetch) {
    const path = await phase(onProgress, { subject: name, phase: `fetch: ${one.url}` }, () => download(one));
    await write(agent, { ...one, mode: one.mode ?? MODE, owner: "root" }, createReadStream(path), signal);
  }
  for (const file of sent)
    await phase(onProgress, { subject: name, phase: `file: ${file.to}` }, () =>
      write(agent, file, Readable.from([file.data]), signal),
    );
}

async function write(
  agent: Agent,
  { to, mode, owner }: Pick<SentFile, "to" | "mode" | "owner">,
  data: Readable,
  signal: AbortSignal,
): Promise<void> {
  const run = async (run: string): Promise<void> =>
    runGuestStep(agent, { name: `place ${to}`, run, env: { TO: to, OWNER: owner } }, () => {}, signal);
  await run('mkdir -p "$(dirname "$TO")"');
  await agent.writeFile(to, data, mode);
  if (owner !== "root") await run('chown "$OWNER" "$TO"');
}
