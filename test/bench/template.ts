/** A template of five steps, built again after a change in the last of them, against all of its steps run again. */
import { interleave, timed } from "./interleave.ts";
import { figure, peer, type Row } from "./row.ts";
import type { World } from "./world.ts";

const NAME = "bench-steps";
/** The root file system of `base`. */
const HEAD = `name: ${NAME}
from: debian:bookworm
packages: [ca-certificates, curl, git, iproute2, openssh-server, procps]
resources: { memory: 256M }
setup: ["echo 1 >/one", "echo 2 >/two", "head -c 20000000 /dev/urandom >/three", "echo 4 >/four"`;

export async function measureTemplate(world: World): Promise<Row[]> {
  const { client, signal } = world;
  let changes = 0;
  const build = (force: boolean): Promise<number> => {
    const recipe = `${HEAD}, "echo ${changes++} >/five"]\n`;
    return timed(async () => void (await client.templates.build({ recipe, force }, { signal })));
  };
  try {
    const samples = await interleave({
      ...{ runs: world.runs(3), signal },
      ours: () => build(false),
      against: () => build(true),
    });
    return [
      {
        name: "a template of five steps after a change in its last step",
        ours: figure("ms", samples.ours),
        against: peer("all steps again", "ms", samples.against),
        target: { of: "inverse", bound: "at least", value: 2 },
      },
    ];
  } finally {
    await client.templates.remove(NAME);
  }
}
