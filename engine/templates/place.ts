/** Files that a recipe places in its machine before any step: those that its client sent, and those that this host fetches. */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import type { Agent } from "../../runners/agent/agent.ts";
import { type OnProgress, phase } from "../progress.ts";
import { runGuestStep } from "./guest-step.ts";
import type { Recipe } from "./recipe.ts";
import { PLAIN_MODE, type SentFile } from "./sent-files.ts";

/** Downloads first, then places the files. Nothing gets into the guest whose digest is wrong. */
export async function placeFiles(
  agent: Agent,
  { name, fetch, sent }: Pick<Recipe, "name" | "fetch" | "sent">,
  download: (one: Recipe["fetch"][number]) => Promise<string>,
  { onProgress, signal }: { onProgress: OnProgress; signal: AbortSignal },
): Promise<void> {
  for (const one of fetch) {
    const path = await phase(onProgress, { subject: name, phase: `fetch: ${one.url}` }, () => download(one));
    await write(
      agent,
      { ...one, mode: one.mode ?? PLAIN_MODE, owner: "root" },
      createReadStream(path),
      signal,
    );
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
