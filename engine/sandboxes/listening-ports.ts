/** Ports that programs in a sandbox listen at, as its agent tells them. The guest is hostile: how often it changes them is its own business. */
import type { Agent } from "../../runners/agent/agent.ts";

export interface PortsChange {
  opened: number[];
  closed: number[];
}

/** Ports in changes that are told in a burst, and a second after that. */
const BURST = 128;
const PER_SECOND = 2;

export class ListeningPorts {
  readonly #onChange: (change: PortsChange) => void;
  #ports: readonly number[] = [];
  #tokens = BURST;
  #tokensAt = performance.now();

  /** @param onChange may miss changes of a guest that makes too many */
  constructor(onChange: (change: PortsChange) => void) {
    this.#onChange = onChange;
  }

  get ports(): readonly number[] {
    return this.#ports;
  }

  /** Of a new session. An agent that is too old tells nothing. */
  follow(agent: Agent): void {
    if (agent.tellsPorts) void agent.watchPorts((ports) => this.#take(ports)).catch(() => {});
  }

  #take(ports: readonly number[]): void {
    const before = this.#ports;
    this.#ports = ports;
    const opened = ports.filter((port) => !before.includes(port));
    const closed = before.filter((port) => !ports.includes(port));
    const count = opened.length + closed.length;
    if (count > 0 && this.#mayTell(count)) this.#onChange({ opened, closed });
  }

  #mayTell(count: number): boolean {
    const now = performance.now();
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#tokensAt) / 1000) * PER_SECOND);
    this.#tokensAt = now;
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }
}
