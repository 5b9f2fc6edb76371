/** Ten children of a running sandbox: how soon they answer, and what each keeps of the host's memory. */
import { dirty, shell } from "./guest.ts";
import { repeat, timed } from "./interleave.ts";
import { figure, type Row } from "./row.ts";
import type { World } from "./world.ts";

const COUNT = 10;
const MIB = 2 ** 20;

export async function measureChildren(world: World): Promise<Row[]> {
  const { client, signal } = world;
  const parent = await client.sandboxes.create({}, { signal });
  const perChild: number[] = [];
  try {
    await shell(world, parent.id, dirty(20e6));
    const samples = await repeat(world.runs(3), signal, async () => {
      let children: string[] = [];
      try {
        const elapsed = await timed(async () => {
          const { sandboxes } = await client.sandboxes.at(parent.id).fork({ count: COUNT }, { signal });
          children = sandboxes.map(({ id }) => id);
          await Promise.all(children.map((id) => client.sandboxes.at(id).files.stat("/", { signal })));
        });
        const stats = await Promise.all(children.map((id) => client.sandboxes.at(id).stats({ signal })));
        perChild.push(stats.reduce((sum, { pssBytes }) => sum + pssBytes, 0) / COUNT / MIB);
        return elapsed;
      } finally {
        await Promise.all(children.map((id) => client.sandboxes.at(id).remove()));
      }
    });
    return [
      {
        name: `fork -n ${COUNT} → all answer`,
        ours: figure("ms", samples),
        target: { of: "ours", bound: "at most", value: 2500 },
      },
      {
        name: "memory per running child (PSS)",
        ours: figure("MiB", perChild),
        target: { of: "ours", bound: "at most", value: 45 },
      },
    ];
  } finally {
    await client.sandboxes.at(parent.id).remove();
  }
}
