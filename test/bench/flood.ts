/** A guest whose root sends the daemon sound frames as fast as it can: how long others wait for an answer. */
import { setTimeout as elapse } from "node:timers/promises";
import { BARE_FRAME, flood } from "../helpers/stolen-port.ts";
import { p99 } from "./median.ts";
import { figure, type Row } from "./row.ts";
import type { World } from "./world.ts";

const WINDOW_MS = 4_000;
const BETWEEN_MS = 5;

export async function measureFlood({ client, signal }: World): Promise<Row[]> {
  const { id } = await client.sandboxes.create({}, { signal });
  try {
    const calm = await waits(client, signal);
    const argv = ["perl", "-e", flood(BARE_FRAME)];
    await client.sandboxes.at(id).startDetached({ argv }, { signal });
    await elapse(2_000, undefined, { signal });
    const flooded = await waits(client, signal);
    return [
      {
        name: "a guest floods the daemon: others wait, p99",
        ours: figure("ms", [p99(flooded)]),
        target: { of: "ours", bound: "at most", value: 50 },
        note: `median ${figure("ms", flooded).median.toFixed(1)} ms of ${flooded.length} answers; without a flood p99 ${p99(calm).toFixed(1)} ms`,
      },
    ];
  } finally {
    await client.sandboxes.at(id).remove();
  }
}

async function waits(client: World["client"], signal: AbortSignal): Promise<number[]> {
  const found: number[] = [];
  const end = performance.now() + WINDOW_MS;
  while (performance.now() < end) {
    const start = performance.now();
    await client.host.info({ signal });
    found.push(performance.now() - start);
    await elapse(BETWEEN_MS, undefined, { signal });
  }
  return found;
}
