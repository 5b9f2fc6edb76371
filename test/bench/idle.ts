/** What a thawed sandbox that does nothing costs. */
import { setTimeout as elapse } from "node:timers/promises";
import { figure, type Row } from "./row.ts";
import type { World } from "./world.ts";

const WINDOW_MS = 8_000;
/** What a thaw sets off in the guest is over by then. */
const SETTLE_MS = 2_000;

export async function measureIdle({ client, signal }: World): Promise<Row[]> {
  const { id } = await client.sandboxes.create({}, { signal });
  try {
    await elapse(SETTLE_MS, undefined, { signal });
    const before = await client.sandboxes.at(id).stats({ signal });
    const start = performance.now();
    await elapse(WINDOW_MS, undefined, { signal });
    const after = await client.sandboxes.at(id).stats({ signal });
    const share = ((after.cpuMs - before.cpuMs) / (performance.now() - start)) * 100;
    return [
      {
        name: "an idle sandbox's CPU",
        ours: figure("%", [share]),
        target: { of: "ours", bound: "less than", value: 1 },
      },
    ];
  } finally {
    await client.sandboxes.at(id).remove();
  }
}
