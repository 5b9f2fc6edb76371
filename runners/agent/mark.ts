/** A file that a proof writes into one machine and looks for in the machine that is made of it. */
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { type Machine, RunnerError } from "../runner.ts";
import type { Agent } from "./agent.ts";

const ANSWER_MS = 20_000;

export class Mark {
  readonly #path: string;
  readonly #signal: AbortSignal | undefined;
  readonly #content = String(Math.random());

  /** @param path in the machines */
  constructor(path: string, signal: AbortSignal | undefined) {
    this.#path = path;
    this.#signal = signal;
  }

  /** @returns the machine's agent, for a later `check` */
  async write(machine: Machine): Promise<Agent> {
    const agent = await this.#greet(machine);
    await agent.writeFile(this.#path, Readable.from([Buffer.from(this.#content)]));
    return agent;
  }

  /** Rejects with `start-failed` where the file is not as it was written. Closes the agent. @param which the machine, for the message */
  async check(agent: Agent, which: string): Promise<void> {
    const { body } = await agent.readFile(this.#path);
    if ((await text(body)) !== this.#content)
      throw new RunnerError("start-failed", `${which} does not contain what was written`);
    agent.close();
  }

  /** The same, of a machine that nobody has greeted yet. */
  async checkIn(machine: Machine, which: string): Promise<void> {
    await this.check(await this.#greet(machine), which);
  }

  #greet(machine: Machine): Promise<Agent> {
    return machine.agent({ deadlineMs: ANSWER_MS, ...(this.#signal ? { signal: this.#signal } : {}) });
  }
}
