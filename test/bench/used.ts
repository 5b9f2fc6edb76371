/** A snapshot of a guest that uses much of its memory, so that little of it differs in what is thawed from it. */
import type { CreateRequest } from "../../client/index.ts";
import { shell, usedBytes } from "./guest.ts";
import type { World } from "./world.ts";

export const MEMORY_MIB = 512;
const TAG = "bench:used";
const USED_BYTES = 200e6;

export interface Used extends AsyncDisposable {
  /** How to make a sandbox of it. */
  request: CreateRequest;
  usedBytes: number;
}

/** Fills memory until so many bytes are used. */
export async function fill(world: World, sandbox: string, target = USED_BYTES): Promise<void> {
  const missing = Math.max(0, target - (await usedBytes(world, sandbox)));
  const noise = "head -c 1000000 /dev/urandom > /tmp/noise";
  // An emulated guest makes noise at 50 MB/s and copies at many times that.
  await shell(
    world,
    sandbox,
    `${noise}; for i in $(seq ${Math.round(missing / 1e6)}); do cat /tmp/noise; done > /dev/shm/fill`,
  );
}

export async function prepareUsed(world: World): Promise<Used> {
  const { client, signal } = world;
  const { id } = await client.sandboxes.create({ memoryMib: MEMORY_MIB }, { signal });
  try {
    await fill(world, id);
    const used = await usedBytes(world, id);
    await client.sandboxes.at(id).freeze(TAG, { signal });
    return {
      request: { source: { snapshot: TAG } },
      usedBytes: used,
      [Symbol.asyncDispose]: () => client.snapshots.remove(TAG),
    };
  } finally {
    await client.sandboxes.at(id).remove();
  }
}
