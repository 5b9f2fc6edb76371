/** An image of ten layers in a registry on loopback: a template that is made of it, against a container. Each time, nothing of it is there before. */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { file, folder, hardLink, layer, pushImage } from "../helpers/image.ts";
import { startRegistry } from "../helpers/registry.ts";
import { runTimed } from "./command.ts";
import { interleave } from "./interleave.ts";
import { openPodman } from "./podman.ts";
import { figure, peer, type Row } from "./row.ts";
import type { World } from "./world.ts";

const NAME = "bench-image";
const LAYERS = 10;
const FILES = 400;
const FILE_BYTES = 78_643;
const APPLETS = ["sh", "cat", "true", "sync", "mkdir", "rm"];

export async function measureOci(world: World): Promise<Row[]> {
  const { client, scratch, thaw, env, signal } = world;
  const registry = await startRegistry(join(scratch, "registry"), "docker-registry", { open: true });
  try {
    await using podman = await openPodman(world);
    const layers = Array.from({ length: LAYERS }, (_, number) => layerOf(number));
    const path = join(scratch, "template.yaml");
    let made = 0;
    // Another image each time, as the root file system of one is kept.
    const push = async (): Promise<string> => {
      const tag = `${++made}`;
      await pushImage({ host: registry.host, name: NAME, tag }, { layers, config: { Env: [`A=${tag}`] } });
      return `${registry.host}/${NAME}:${tag}`;
    };
    const samples = await interleave({
      ...{ runs: world.runs(3), signal },
      async ours() {
        writeFileSync(
          path,
          `name: ${NAME}\nfrom: oci:${await push()}\nresources: { memory: 256M, disk: 2G }\n`,
        );
        const elapsed = await runTimed(thaw("template", "build", path), { env, signal });
        await client.templates.remove(NAME);
        return elapsed;
      },
      async against() {
        const image = await push();
        const pulled = await podman.podman("pull", "--quiet", "--tls-verify=false", image);
        const ran = await podman.run(image, "/bin/true");
        await podman.podman("rmi", "--all", "--force");
        return pulled + ran;
      },
    });
    return [
      {
        name: `an image of ${LAYERS} layers, ${mib(layers)} MiB → a snapshot`,
        ours: figure("s", samples.ours.map(seconds)),
        against: peer("podman pull + run", "s", samples.against.map(seconds)),
        target: { of: "ratio", bound: "at most", value: 4 },
      },
    ];
  } finally {
    await registry.stop();
  }
}

/** Files of which one half can't be compressed; in the lowest layer, programs too. */
function layerOf(number: number): Buffer {
  const dir = `data/${number}`;
  const files = Array.from({ length: FILES }, (_, n) => file(`${dir}/${n}`, contentOf(`${number}/${n}`)));
  if (number > 0) return layer(folder(dir), ...files);
  const mode = 0o755;
  const busybox = file("bin/busybox", readFileSync("/bin/busybox"), { mode });
  const applets = APPLETS.map((name) => ({ ...hardLink(`bin/${name}`, "bin/busybox"), mode }));
  return layer(folder("bin"), busybox, ...applets, folder("data"), folder(dir), ...files);
}

/** The same in each run. */
function contentOf(name: string): Buffer {
  const half = FILE_BYTES >> 1;
  const noise = createHash("shake256", { outputLength: half }).update(name).digest();
  return Buffer.concat([noise, Buffer.alloc(FILE_BYTES - half, `${name}: text that can be compressed\n`)]);
}

function mib(layers: readonly Buffer[]): number {
  return Math.round(layers.reduce((sum, { length }) => sum + length, 0) / 2 ** 20);
}

function seconds(ms: number): number {
  return ms / 1000;
}
