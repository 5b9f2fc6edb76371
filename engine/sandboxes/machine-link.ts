/** A sandbox's machine and the session with its agent: started, adopted, lost, made again. */
import { Agent } from "../../runners/agent/agent.ts";
import type { SessionError } from "../../runners/agent/errors.ts";
import type { Machine, MachineEnd, MachineRecord, Runner, ThawSpec } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";

export type ConnectOptions = Parameters<typeof Agent.connect>[1];

/** What the link tells its sandbox. */
export interface LinkEvents {
  /** There is a machine now. Called before anything of it can end. */
  taken(machine: Machine): void;
  ended(end: MachineEnd): void;
  /** A session ended that nobody closed. */
  lost(why: SessionError): void;
}

export class MachineLink {
  readonly #runner: Runner;
  readonly #place: { id: string; stateDir: string };
  readonly #events: LinkEvents;
  #machine: Machine | null = null;
  #agent: Agent | null = null;

  constructor(runner: Runner, place: { id: string; stateDir: string }, events: LinkEvents) {
    this.#runner = runner;
    this.#place = place;
    this.#events = events;
  }

  get machine(): Machine | null {
    return this.#machine;
  }

  /** null while there is no session. */
  get agent(): Agent | null {
    return this.#agent;
  }

  /** Makes the machine. It has no session yet. */
  async thaw(spec: Omit<ThawSpec, "id" | "stateDir">, signal?: AbortSignal): Promise<Machine> {
    return this.#take(await this.#runner.thaw({ ...this.#place, ...spec }, signal));
  }

  /** Takes up a machine that another process started. Rejects as `Runner.adopt`. */
  async adopt(record: MachineRecord): Promise<Machine> {
    return this.#take(await this.#runner.adopt(record));
  }

  /** Opens a session with the machine's agent. */
  async connect(machine: Machine, options: ConnectOptions): Promise<Agent> {
    const agent = await Agent.connect(await machine.connect(options.signal), options);
    this.#agent = agent;
    void agent.session.ended.then((why) => {
      if (this.#agent !== agent) return;
      this.#agent = null;
      this.#events.lost(why);
    });
    return agent;
  }

  /** Closes the session; the machine goes on. */
  hangUp(): void {
    const agent = this.#agent;
    this.#agent = null;
    agent?.close();
  }

  /** Ends the machine, if there is one; what it left on the host stays. */
  async stop(): Promise<void> {
    await this.#machine?.stop();
  }

  /** Removes what the machine left on this host, be it half made or half gone. */
  async clear(): Promise<void> {
    this.#machine = null;
    await this.#runner.clear(this.#place);
  }

  /** The daemon leaves; the machine goes on. */
  detach(): void {
    this.#agent?.close();
    this.#machine?.detach();
  }

  /** Throws `conflict`. @param name @param state of the sandbox */
  needMachine({ name, state }: { name: string; state: string }): Machine {
    if (this.#machine) return this.#machine;
    throw new EngineError("conflict", `sandbox ${name} has no machine: it is ${state}`);
  }

  /** Throws `conflict`. */
  needAgent({ name }: { name: string }): Agent {
    if (this.#agent) return this.#agent;
    throw new EngineError("conflict", `the agent of sandbox ${name} is not reachable now`);
  }

  #take(machine: Machine): Machine {
    this.#machine = machine;
    this.#events.taken(machine);
    machine.onEnd((end) => this.#events.ended(end));
    return machine;
  }
}
