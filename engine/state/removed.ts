/** Captures and snapshots that somebody may remove while others work with them. */
import { existsSync } from "node:fs";
import { EngineError } from "../errors.ts";

export interface Stored {
  kind: "capture" | "snapshot";
  id: string;
  dir: string;
}

/** Throws `not-found` when it was removed. */
export function checkThere({ kind, id, dir }: Stored): void {
  if (!existsSync(dir)) throw new EngineError("not-found", `${kind} ${id} was removed`);
}

/** Works with its files. Whatever fails because it was removed meanwhile fails with `not-found`: a file that is gone with it is not damaged. */
export async function whileThere<T>(stored: Stored, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    checkThere(stored);
    throw error;
  }
}
