/** `thaw run -- true`, the whole process, against a container of the same files. */
import { runTimed } from "./command.ts";
import { interleave, repeat } from "./interleave.ts";
import { preparePodman } from "./podman.ts";
import { figure, peer, type Row, type Target } from "./row.ts";
import type { World } from "./world.ts";

const NAME = "thaw run -- true, whole process";
const TARGET: Target = { of: "ratio", bound: "at most", value: 1.2 };

export async function measureRun(world: World): Promise<Row[]> {
  const { thaw, env, signal } = world;
  const runs = world.runs(15);
  const ours = (): Promise<number> => runTimed(thaw("run", "--", "true"), { env, signal });
  let podman: Awaited<ReturnType<typeof preparePodman>>;
  try {
    podman = await preparePodman(world);
  } catch (error) {
    signal.throwIfAborted();
    const samples = await repeat(runs, signal, ours);
    return [
      {
        name: NAME,
        ours: figure("ms", samples),
        target: TARGET,
        note: `podman not measured: ${(error as Error).message}`,
      },
    ];
  }
  await using container = podman;
  const samples = await interleave({ runs, ours, against: () => container.run("true"), signal });
  return [
    {
      name: NAME,
      ours: figure("ms", samples.ours),
      against: peer("podman run", "ms", samples.against),
      target: TARGET,
    },
  ];
}
