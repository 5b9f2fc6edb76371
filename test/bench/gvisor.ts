/** `thaw run --runner gvisor -- true`, the whole process, against gVisor without thaw, and against a container of the same files. */
import { findTool } from "../../runners/host/find-tool.ts";
import { runTimed } from "./command.ts";
import { interleave } from "./interleave.ts";
import { preparePodman } from "./podman.ts";
import { figure, peer, type Row } from "./row.ts";
import type { World } from "./world.ts";

const NAME = "thaw run --runner gvisor -- true, whole process";
const BARE = ["--platform", "systrap", "--network", "none", "--ignore-cgroups", "do", "true"];
const BUILD_DEADLINE_MS = 900_000;

export async function measureGvisor(world: World): Promise<Row[]> {
  const { thaw, env, signal } = world;
  const runsc = await findTool("runsc");
  if (runsc === undefined) return [{ name: NAME, note: "not measured: runsc is not installed" }];
  const runs = world.runs(15);
  const command = thaw("run", "--runner", "gvisor", "--", "true");
  // The first one builds the template.
  await runTimed(command, { env, signal, deadlineMs: BUILD_DEADLINE_MS });
  const ours = (): Promise<number> => runTimed(command, { env, signal });
  const bare = await interleave({
    runs,
    ours,
    against: () => runTimed([runsc, ...BARE], { signal }),
    signal,
  });
  const rows: Row[] = [
    {
      name: NAME,
      ours: figure("ms", bare.ours),
      against: peer("runsc do", "ms", bare.against),
      target: { of: "ratio", bound: "at most", value: 2 },
    },
  ];
  try {
    await using container = await preparePodman(world);
    const samples = await interleave({ runs, ours, against: () => container.run("true"), signal });
    rows.push({
      name: NAME,
      ours: figure("ms", samples.ours),
      against: peer("podman run", "ms", samples.against),
      target: { of: "ratio", bound: "at most", value: 1 },
    });
  } catch (error) {
    signal.throwIfAborted();
    rows.push({ name: NAME, note: `podman not measured: ${(error as Error).message}` });
  }
  return rows;
}
