/**
 * The id of a sandbox's machine, which is not the sandbox's own: each thaw makes another one. It is in a file of its own, written before the
 * machine is made, so that the machine is found whatever becomes of the sandbox's record.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeWhole } from "../../durable/write.ts";
import type { MachinePlace } from "../../runners/runner.ts";
import { randomId } from "../ids.ts";

const FILE = "machine.id";
const VALID = /^[a-z0-9-]{1,40}$/;

/** A place for a new machine of the sandbox with this folder. */
export async function newPlace(sandboxId: string, stateDir: string): Promise<MachinePlace> {
  const id = `${sandboxId}-${randomId().slice(0, 4)}`;
  await writeWhole(join(stateDir, FILE), id, { survives: "daemon" });
  return { id, stateDir };
}

/** Where its machine is, or would be. Before there was such a file a machine had its sandbox's id. */
export async function placeOf(sandboxId: string, stateDir: string): Promise<MachinePlace> {
  const id = await readFile(join(stateDir, FILE), "utf8").catch(() => "");
  return { id: VALID.test(id) ? id : sandboxId, stateDir };
}
