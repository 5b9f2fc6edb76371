/** A sandbox's machine and the session with its agent: started, adopted, lost, made again. */
import type { Agent } from "../../runners/agent/agent.ts";
import type { SessionError } from "../../runners/agent/errors.ts";
import type { Machine, MachineEnd, MachineRecord, Runner, ThawSpec } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import { Retry } from "../retry.ts";
import { type ConnectOptions, connectAgent } from "./identity.ts";
import { newPlace, placeOf } from "./place.ts";
import type { SandboxRecord } from "./record.ts";

/** What the link needs of its sandbox. */
export interface LinkHost {
  readonly record: SandboxRecord;
  readonly dir: string;
  ended(end: MachineEnd): void;
  /** Its disk has grown as far as was allowed. */
  grew(): void;
  /** There is a session with its agent; nothing was asked of it yet. */
  connected(agent: Agent): void;
  /** A session ended that nobody closed. */
  lost(why: SessionError): void;
  /** A machine that was ended is still there; it is ended again until it is gone. */
  lingers(why: string): void;
  /** No machine of it is left on the host. */
  cleared(): void;
}

export class MachineLink {
  readonly #runner: Runner;
  readonly #host: LinkHost;
  #machine: Machine | null = null;
  #agent: Agent | null = null;
  #closed = false;
  /** Those that are not known to be gone. */
  readonly #present = new Set<Machine>();
  /** An earlier daemon's machine could not be cleared away. */
  #uncleared = false;
  readonly #retry = new Retry(() =>
    (this.#uncleared ? this.clear() : this.stop()).then(
      () => true,
      () => false,
    ),
  );

  constructor(runner: Runner, host: LinkHost) {
    this.#runner = runner;
    this.#host = host;
  }

  get machine(): Machine | null {
    return this.#machine;
  }

  /** null while there is no session. */
  get agent(): Agent | null {
    return this.#agent;
  }

  /** Makes a machine, which has an id of its own. It has no session yet. Throws `conflict` while its last one has not ended. */
  async thaw(spec: Omit<ThawSpec, "id" | "stateDir">, signal?: AbortSignal): Promise<Machine> {
    const { record, dir } = this.#host;
    this.needNone(record);
    const place = await newPlace(record.id, dir);
    return this.#take(await this.#runner.thaw({ ...place, ...spec }, signal));
  }

  /** Takes up a machine that another process started. Rejects as `Runner.adopt`. */
  async adopt(record: MachineRecord): Promise<Machine> {
    return this.#take(await this.#runner.adopt(record));
  }

  /**
   * Opens a session with the machine's agent. Throws `agent-fault` when the guest could not take its identity: a clone that is still its
   * twin must run nothing.
   */
  async connect(machine: Machine, options: ConnectOptions): Promise<Agent> {
    const agent = await connectAgent(machine, options);
    if (this.#closed) {
      agent.close();
      throw new EngineError("cancelled", "its machine is no longer needed");
    }
    this.#agent = agent;
    this.#host.connected(agent);
    void agent.session.ended.then((why) => {
      if (this.#agent !== agent) return;
      this.#agent = null;
      this.#host.lost(why);
    });
    return agent;
  }

  /** Closes the session; the machine goes on. */
  hangUp(): void {
    const agent = this.#agent;
    this.#agent = null;
    agent?.close();
  }

  /** Ends the machine, if there is one; what it left on the host stays. Rejects when it does not die: that is tried again by itself. */
  async stop(): Promise<void> {
    await this.#untilDone(async () => {
      for (const machine of this.#present) {
        await machine.stop();
        this.#present.delete(machine);
      }
    });
  }

  /** Removes what the machine left on this host, be it half made or half gone. Rejects as `stop`. */
  async clear(): Promise<void> {
    this.#machine = null;
    this.#uncleared = true;
    await this.#untilDone(async () => {
      await this.#runner.clear(await placeOf(this.#host.record.id, this.#host.dir));
      this.#present.clear();
      this.#uncleared = false;
    });
  }

  /** Takes no machine any more: one whose adoption is still under way is let go of when it comes. */
  close(): void {
    this.#closed = true;
    this.hangUp();
  }

  /** The daemon leaves; the machine goes on. */
  async detach(): Promise<void> {
    this.close();
    this.#retry.stop();
    await this.#machine?.detach();
  }

  /** Throws `conflict`. @param name @param state of the sandbox */
  needMachine({ name, state }: { name: string; state: string }): Machine {
    if (this.#machine) return this.#machine;
    throw new EngineError("conflict", `sandbox ${name} has no machine: it is ${state}`);
  }

  /** Throws `conflict` while its last machine has not ended. */
  needNone({ name }: { name: string }): void {
    if (!this.#mayHaveMachine) return;
    throw new EngineError("conflict", `the last machine of sandbox ${name} has not ended yet`, {
      hint: "thaw keeps trying to end it; try again later",
    });
  }

  /** Throws `conflict`. */
  needAgent({ name }: { name: string }): Agent {
    if (this.#agent) return this.#agent;
    throw new EngineError("conflict", `the agent of sandbox ${name} can't be reached now`);
  }

  /** Whether a machine of it may be on the host, be it one that was ended and does not die. */
  get #mayHaveMachine(): boolean {
    return this.#uncleared || this.#present.size > 0;
  }

  async #untilDone(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      // A removal tries again itself.
      if (!this.#closed) this.#retry.start();
      this.#host.lingers((error as Error).message);
      throw error;
    }
    this.#host.cleared();
  }

  #take(machine: Machine): Machine {
    if (this.#closed) {
      void machine.detach();
      throw new EngineError("cancelled", "its machine is no longer needed");
    }
    this.#machine = machine;
    this.#present.add(machine);
    this.#host.record.machine = machine.record;
    machine.onEnd((end) => this.#host.ended(end));
    machine.onDiskGrowth(() => this.#host.grew());
    return machine;
  }
}
