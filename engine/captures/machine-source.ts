/** The files of a captured machine, read by its own agent: a replay that nobody sees, reaches or runs commands in. */
import type { Agent } from "../../runners/agent/agent.ts";
import { AgentRefusal } from "../../runners/agent/errors.ts";
import type { Machine } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import type { FileSource } from "./file-source.ts";
import type { CaptureStore, StoredCapture } from "./store.ts";
import { greet, withMachine } from "./trial.ts";

/** Thaws the machine. It lives until `close`, and stands still while nobody holds it. */
export async function openMachineSource(
  context: LiveContext,
  store: CaptureStore,
  capture: StoredCapture,
): Promise<FileSource> {
  const opened = Promise.withResolvers<{ machine: Machine; agent: Agent }>();
  const closing = Promise.withResolvers<void>();
  const { signal } = new AbortController();
  const { memoryMib } = capture.manifest.resources;
  const life = context.admission.withSecond({ name: capture.id, memoryMib }, () =>
    withMachine(context, store, { capture, paused: false, signal }, async (machine) => {
      const agent = await greet(machine, signal);
      opened.resolve({ machine, agent });
      await Promise.race([closing.promise, agent.session.ended]);
      agent.close();
    }),
  );
  life.catch((error: unknown) => opened.reject(error));
  const { machine, agent } = await opened.promise;
  return {
    level: "memory",
    agent,
    async look(path) {
      const entry = await statIn(capture, agent, path);
      const { entries, truncated } =
        entry.type === "dir" ? await agent.list(path) : { entries: [], truncated: false };
      return { entry: named(entry), entries: entries.map(named), truncated };
    },
    async read(path) {
      const { type } = await statIn(capture, agent, path);
      if (type !== "file")
        throw new EngineError("conflict", `${capture.id}:${path} is not a file: it is a ${type}`);
      return (await agent.readFile(path)).body;
    },
    rest: () => machine.pause(),
    wake: () => machine.resume(),
    async close() {
      closing.resolve();
      await life.catch(() => {});
    },
  };
}

async function statIn({ id }: StoredCapture, agent: Agent, path: string): ReturnType<Agent["stat"]> {
  return agent.stat(path).catch((error: unknown) => {
    if (!(error instanceof AgentRefusal) || error.kind !== "not-found") throw error;
    throw new EngineError("not-found", `there is no ${path} in ${id}`, { cause: error });
  });
}

function named<T extends { path: string }>(entry: T): T & { name: string } {
  return { ...entry, name: entry.path.split("/").filter(Boolean).at(-1) ?? "" };
}
