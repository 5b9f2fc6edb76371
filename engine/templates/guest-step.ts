/** Runs one command in a guest that is being built, and hands its output on line by line. */
import { defined } from "../../api/defined.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { AgentRefusal } from "../../runners/agent/errors.ts";
import { type ExitEvent, exitEvent } from "../../runners/agent/messages.ts";
import type { AgentStream } from "../../runners/agent/stream.ts";
import { EngineError } from "../errors.ts";
import { randomId } from "../ids.ts";

const KEPT_LINES = 40;
const MAX_LINE_CHARS = 2000;
const NO_SHELL = "setup, warm and onThaw run with /bin/sh, which this machine lacks";

export interface GuestStep {
  name: string;
  run: string;
  env: Record<string, string>;
  user?: string;
  cwd?: string;
}

/** Tells whether a step failed because the machine has no shell. */
export function isWithoutShell(error: unknown): boolean {
  const refusal = error instanceof EngineError ? error.cause : error;
  return refusal instanceof AgentRefusal && refusal.kind === "not-found";
}

/** Throws `build-failed` with the step's name and its last lines when it does not exit with 0. */
export async function runGuestStep(
  agent: Agent,
  step: GuestStep,
  onLine: (line: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const id = `step-${randomId()}`;
  const kept: string[] = [];
  let partial = "";
  const ended = Promise.withResolvers<ExitEvent>();
  // If the build is aborted while the agent is asked, nobody waits for this promise yet.
  ended.promise.catch(() => {});
  const line = (text: string) => {
    kept.push(text);
    if (kept.length > KEPT_LINES) kept.shift();
    onLine(text);
  };
  ended.promise.catch(() => {});
  const abort = () => {
    const why = signal?.reason;
    ended.reject(why instanceof EngineError ? why : new EngineError("cancelled", "the build was cancelled"));
  };
  signal?.addEventListener("abort", abort);
  if (signal?.aborted) abort();
  try {
    // The first output may come in the same read as the answer.
    const started = Promise.withResolvers<AgentStream>();
    const { stream } = await agent.start(
      {
        id,
        argv: ["/bin/sh", "-e", "-c", step.run],
        env: step.env,
        ...defined({ user: step.user }),
        cwd: step.cwd ?? "/",
      },
      {
        onData: (channel, piece) => {
          const lines = (partial + piece.toString("utf8")).split("\n");
          partial = (lines.pop() ?? "").slice(-MAX_LINE_CHARS);
          for (const text of lines) line(text.slice(0, MAX_LINE_CHARS));
          void started.promise.then((stream) => stream.consume(channel, piece.length));
        },
        onEvent: (event) => {
          const exit = exitEvent.safeParse(event);
          if (exit.success) ended.resolve(exit.data);
        },
        onClose: (error) => {
          if (error) ended.reject(error);
        },
      },
    );
    started.resolve(stream);
    const exit = await ended.promise;
    if (partial !== "") line(partial);
    await agent.forget(id).catch(() => {});
    if (exit.code !== 0) {
      const how = exit.oom
        ? "was killed: out of memory"
        : exit.signal
          ? `was ended by ${exit.signal}`
          : `exited ${exit.code}`;
      throw new EngineError("build-failed", `step "${step.name}" ${how}`, { details: kept });
    }
  } catch (error) {
    if (error instanceof AgentRefusal)
      throw new EngineError("build-failed", `step "${step.name}" could not start: ${error.message}`, {
        ...defined({ hint: isWithoutShell(error) ? NO_SHELL : undefined }),
        cause: error,
      });
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
