/** Talks to the agents of machines that a test made. */
import { freshIdentity } from "../../engine/sandboxes/identity.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { type CrashEvent, crashEvent, type ExitEvent, exitEvent } from "../../runners/agent/messages.ts";
import type { AgentStream, StreamHandlers } from "../../runners/agent/stream.ts";
import type { Machine } from "../../runners/runner.ts";

let serial = 0;

/** Counts in a file, from a shell that is still there in every copy of the machine. */
export const COUNTER =
  "(i=0; while :; do i=$((i+1)); echo $i > /dev/shm/count; sleep 0.05; done) < /dev/null > /dev/null 2>&1 &";

/** A command that runs. */
export interface Running {
  id: string;
  exit: Promise<ExitEvent>;
  /** Of processes that are held, as they come. */
  crashes: CrashEvent[];
  /** What it wrote so far. */
  text(): string;
}

/** Starts a command, or attaches to the one of an id. */
export async function begin(
  agent: Agent,
  start: { script: string; holdCrashes?: boolean; user?: string } | { id: string },
): Promise<Running> {
  const exit = Promise.withResolvers<ExitEvent>();
  exit.promise.catch(() => {});
  const crashes: CrashEvent[] = [];
  let text = "";
  // Output may come before the answer that names its stream.
  const started = Promise.withResolvers<AgentStream>();
  started.promise.catch(() => {});
  const handlers: StreamHandlers = {
    onData: (channel, piece) => {
      text += piece;
      void started.promise.then((stream) => stream.consume(channel, piece.length));
    },
    onEvent: (event) => {
      const crash = crashEvent.safeParse(event);
      if (crash.success) crashes.push(crash.data);
      else exit.resolve(exitEvent.parse(event));
    },
    onClose: (error) => error && exit.reject(error),
  };
  const id = "id" in start ? start.id : `g${process.pid}-${++serial}`;
  const opening =
    "id" in start
      ? agent.attach({ id, out: 0, err: 0 }, handlers)
      : agent.start(
          { id, argv: ["/bin/sh", "-c", start.script], holdCrashes: start.holdCrashes, user: start.user },
          handlers,
        );
  started.resolve((await opening).stream);
  return { id, exit: exit.promise, crashes, text: () => text };
}

/** Runs a command to its end. */
export async function sh(agent: Agent, script: string): Promise<{ text: string; exit: ExitEvent }> {
  const running = await begin(agent, { script });
  const exit = await running.exit;
  return { exit, text: running.text() };
}

/** A session with a new identity. The guest may be in the middle of a frame: it was frozen while it ran. */
export async function greet(machine: Machine, hostname: string): Promise<Agent> {
  return machine.agent({ deadlineMs: 120_000, identity: freshIdentity(hostname) });
}
