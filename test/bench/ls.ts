/** A short command, whole, against the least a Node process can do. */
import { runTimed } from "./command.ts";
import { interleave } from "./interleave.ts";
import { figure, peer, type Row } from "./row.ts";
import type { World } from "./world.ts";

export async function measureLs({ thaw, env, runs, signal }: World): Promise<Row[]> {
  const samples = await interleave({
    runs: runs(20),
    ours: () => runTimed(thaw("ls"), { env, signal }),
    against: () => runTimed([process.execPath, "-e", "0"], { env, signal }),
    signal,
  });
  return [
    {
      name: "thaw ls, whole process",
      ours: figure("ms", samples.ours),
      against: peer("node -e 0", "ms", samples.against),
      target: { of: "ratio", bound: "at most", value: 2.2 },
    },
  ];
}
