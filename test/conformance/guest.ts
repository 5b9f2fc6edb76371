/** Talks to the agents of machines that a test made. */
import { freshIdentity } from "../../engine/sandboxes/identity.ts";
import { Agent } from "../../runners/agent/agent.ts";
import { type ExitEvent, exitEvent } from "../../runners/agent/messages.ts";
import type { AgentStream } from "../../runners/agent/stream.ts";
import type { Machine } from "../../runners/runner.ts";

let serial = 0;

/** Runs a command to its end. */
export async function sh(agent: Agent, script: string): Promise<{ text: string; exit: ExitEvent }> {
  const exit = Promise.withResolvers<ExitEvent>();
  exit.promise.catch(() => {});
  let text = "";
  // Output may come before the answer that names its stream.
  const started = Promise.withResolvers<AgentStream>();
  started.promise.catch(() => {});
  const { stream } = await agent.start(
    { id: `g${process.pid}-${++serial}`, argv: ["/bin/sh", "-c", script] },
    {
      onData: (channel, piece) => {
        text += piece;
        void started.promise.then((stream) => stream.consume(channel, piece.length));
      },
      onEvent: (event) => exit.resolve(exitEvent.parse(event)),
      onClose: (error) => error && exit.reject(error),
    },
  );
  started.resolve(stream);
  return { exit: await exit.promise, text };
}

/** A session with a new identity. The guest may be in the middle of a frame: it was frozen while it ran. */
export async function greet(machine: Machine, hostname: string): Promise<Agent> {
  return Agent.connect(await machine.connect(), { deadlineMs: 20_000, identity: freshIdentity(hostname) });
}
