/** A sandbox whose machine was ended and kept on disk: how it gets there, and how it comes back. */
import type { SandboxState } from "../../api/closed-lists.ts";
import type { Machine, Runner, SnapshotFiles } from "../../runners/runner.ts";
import type { ExecTable } from "./exec-table.ts";
import { clearFrozen, frozenDifference } from "./frozen.ts";
import type { MachineLink } from "./machine-link.ts";
import type { Frozen, SandboxRecord } from "./record.ts";

export interface KeptMachine extends Frozen {
  /** Snapshot that it belongs to from now on. */
  snapshot: string;
}

/** The engine's part of a wake-up: reserves capacity, finds the snapshot's files, runs `thaw`, reports the result. */
export type OnWake = (thaw: (files: SnapshotFiles) => Promise<void>, signal: AbortSignal) => Promise<void>;

/** What it needs of its sandbox. */
export interface FrozenHost {
  readonly record: SandboxRecord;
  readonly dir: string;
  greet(machine: Machine, signal: AbortSignal): Promise<unknown>;
  move(to: SandboxState, reason: string | null): void;
  persist(): Promise<void>;
}

export class FrozenMachine {
  readonly #host: FrozenHost;
  readonly #runner: Runner;
  readonly #link: MachineLink;
  readonly #execs: ExecTable;
  #waking: AbortController | null = null;

  constructor(host: FrozenHost, parts: { runner: Runner; link: MachineLink; execs: ExecTable }) {
    this.#host = host;
    this.#runner = parts.runner;
    this.#link = parts.link;
    this.#execs = parts.execs;
  }

  /** Ends the machine once `take` has kept what it was. @param by `checkUnused` throws when somebody uses it */
  async freeze(
    take: () => Promise<KeptMachine>,
    { checkUnused, reason }: { checkUnused: () => void; reason: string },
  ): Promise<void> {
    const { record } = this.#host;
    checkUnused();
    this.#link.hangUp();
    this.#execs.detach();
    const { snapshot, difference } = await take();
    checkUnused();
    const before = { ...record };
    record.frozen = { difference };
    record.snapshot = snapshot;
    if (difference === null) record.ownSnapshot = snapshot;
    this.#host.move("stopped", reason);
    try {
      await this.#host.persist();
    } catch (error) {
      // The machine is still there, and goes on being what the record on disk says.
      this.#host.move("paused", before.reason);
      const { frozen, snapshot: base, ownSnapshot } = before;
      Object.assign(record, { frozen, snapshot: base, ownSnapshot });
      throw error;
    }
    await this.#link.clear();
  }

  /** Thaws the same machine again; its execs go on. When it can't be thawed it stays frozen. */
  async wake(frozen: Frozen, onWake: OnWake | null): Promise<void> {
    const { dir, record } = this.#host;
    this.#link.needNone(record);
    const difference = frozenDifference(dir, frozen);
    const abort = new AbortController();
    this.#waking = abort;
    try {
      await onWake?.((files) => this.#thaw(frozen, files, abort.signal), abort.signal);
    } finally {
      this.#waking = null;
    }
    if (difference) this.#runner.forget(difference.id);
    await clearFrozen(dir);
    const { agent } = this.#link;
    if (agent) await this.#execs.resume(agent);
  }

  /** Calls off a wake-up. @returns whether there was one */
  abort(reason: Error): boolean {
    if (this.#waking === null) return false;
    this.#waking.abort(reason);
    return true;
  }

  async #thaw(frozen: Frozen, snapshot: SnapshotFiles, signal: AbortSignal): Promise<void> {
    const { dir } = this.#host;
    const machine = await this.#link.thaw({ snapshot, difference: frozenDifference(dir, frozen) }, signal);
    try {
      await this.#host.greet(machine, signal);
      signal.throwIfAborted();
      await this.#goOn(frozen);
    } catch (error) {
      this.#link.hangUp();
      this.#execs.detach();
      await this.#link.clear();
      throw error;
    }
  }

  /** Rejects when that can't be noted: the next daemon would thaw it as it was, and what it did meanwhile would be lost. */
  async #goOn(frozen: Frozen): Promise<void> {
    const { record } = this.#host;
    const { reason } = record;
    this.#host.move("running", null);
    record.frozen = null;
    try {
      await this.#host.persist();
    } catch (error) {
      record.frozen = frozen;
      this.#host.move("stopped", reason);
      throw error;
    }
  }
}
