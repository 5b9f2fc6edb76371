/** The sandboxes of a host: their names, and how a reference finds one. */

import { suggestNearest } from "../../api/nearest.ts";
import { EngineError } from "../errors.ts";
import type { Sandbox } from "./sandbox.ts";

/** A sandbox that is being made. */
export interface Creation {
  abort: AbortController;
  settled: Promise<unknown>;
}

export class SandboxRegistry {
  readonly #byId = new Map<string, Sandbox>();
  /** Also of those that are being made and have no sandbox yet. */
  readonly #names = new Set<string>();
  readonly creations = new Map<string, Creation>();

  /** Those there are, also those that are being removed. */
  get present(): Sandbox[] {
    return [...this.#byId.values()];
  }

  /** Those that the request with this id has made, in the order in which it is answered. */
  madeBy(request: string): Sandbox[] {
    const index = ({ record }: Sandbox): number => record.request?.index ?? 0;
    return this.present
      .filter(({ record }) => record.request?.id === request)
      .sort((one, other) => index(one) - index(other));
  }

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): Sandbox | undefined {
    return this.#byId.get(id);
  }

  /** By id, name or unique prefix of an id. Throws `not-found`, or `usage` when several fit. */
  find(reference: string): Sandbox {
    const all = [...this.#byId.values()];
    const exact = all.find(({ record }) => record.id === reference || record.name === reference);
    if (exact) return exact;
    // Every id starts with the empty text.
    const matches = reference === "" ? [] : all.filter(({ id }) => id.startsWith(reference));
    if (matches.length === 1 && matches[0]) return matches[0];
    if (matches.length > 1) {
      throw new EngineError(
        "usage",
        `${reference} fits ${matches.length} sandboxes: ${matches.map(({ record }) => record.name).join(", ")}`,
      );
    }
    throw new EngineError("not-found", `no sandbox ${reference}`, {
      hint: suggestNearest(
        reference,
        all.map(({ record }) => record.name),
        "thaw ls",
      ),
    });
  }

  isTaken(name: string): boolean {
    return this.#names.has(name);
  }

  /** Throws `conflict` when the name is taken. */
  claim(name: string): void {
    if (this.#names.has(name)) {
      throw new EngineError("conflict", `there is already a sandbox named ${name}`, {
        hint: `choose another --name, or thaw rm ${name}`,
      });
    }
    this.#names.add(name);
  }

  /** `name`, with a number when it is taken. */
  freeName(name: string): string {
    let free = name;
    for (let n = 2; this.#names.has(free); n++) free = `${name}-${n}`;
    return free;
  }

  release(name: string): void {
    this.#names.delete(name);
  }

  add(sandbox: Sandbox): void {
    this.#byId.set(sandbox.id, sandbox);
    this.#names.add(sandbox.record.name);
  }

  /** @returns whether it was there */
  delete(sandbox: Sandbox): boolean {
    if (this.#byId.get(sandbox.id) !== sandbox) return false;
    this.#byId.delete(sandbox.id);
    this.#names.delete(sandbox.record.name);
    return true;
  }
}
