/** podman with a store of its own, and a container image of the template's root file system in it. */
import { closeSync, mkdtempSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTool } from "../../runners/host/find-tool.ts";
import { runTimed } from "./command.ts";
import type { World } from "./world.ts";

const IMAGE = "localhost/thaw-bench";
const PODMAN_DEADLINE_MS = 300_000;
/** Containers in containers can't raise limits, which podman does by default. */
const CONTAINERS_CONF = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n';

export interface Podman extends AsyncDisposable {
  /** Milliseconds of a whole `podman run --rm`. */
  run(...command: string[]): Promise<number>;
}

interface Store extends AsyncDisposable {
  [Symbol.asyncDispose](): Promise<void>;
  dir: string;
  /** Milliseconds of a whole `podman` command. */
  podman(...args: string[]): Promise<number>;
  /** Milliseconds of a whole `podman run --rm`. */
  run(image: string, ...command: string[]): Promise<number>;
}

/** An empty store. Rejects with why there is nothing to compare with. */
export async function openPodman({ scratch, signal }: World): Promise<Store> {
  const path = findTool("podman");
  if (path === undefined) throw new Error("podman is not installed");
  const dir = mkdtempSync(join(scratch, "podman-"));
  const conf = join(dir, "containers.conf");
  writeFileSync(conf, CONTAINERS_CONF);
  const runtime = findTool("runc") === undefined ? [] : ["--runtime", "runc"];
  const store = ["--root", join(dir, "store"), "--runroot", join(dir, "run")];
  const options = { env: { CONTAINERS_CONF: conf }, deadlineMs: PODMAN_DEADLINE_MS };
  const timed = (args: readonly string[], until: AbortSignal): Promise<number> =>
    runTimed([path, ...store, ...runtime, ...args], { ...options, signal: until });
  const podman = (...args: string[]): Promise<number> => timed(args, signal);
  return {
    dir,
    podman,
    run: (image, ...command) => podman("run", "--rm", "--network", "none", image, ...command),
    [Symbol.asyncDispose]: async () =>
      void (await timed(["system", "reset", "--force"], new AbortController().signal)),
  };
}

/** Rejects with why there is nothing to compare with. */
export async function preparePodman(world: World): Promise<Podman> {
  const { thaw, env, signal } = world;
  const store = await openPodman(world);
  const run = (...command: string[]): Promise<number> => store.run(IMAGE, ...command);
  try {
    const archive = join(store.dir, "rootfs.tar");
    await exportRootfs(archive, {
      argv: thaw("run", "--", "tar", "-C", "/", "--one-file-system", "-cf", "-", "."),
      env,
      signal,
    });
    await store.podman("import", "--quiet", archive, IMAGE);
    await run("true");
  } catch (error) {
    await store[Symbol.asyncDispose]().catch(() => {});
    throw error;
  }
  return { run, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
}

async function exportRootfs(
  archive: string,
  { argv, env, signal }: { argv: [string, ...string[]]; env: World["env"]; signal: AbortSignal },
): Promise<void> {
  const fd = openSync(archive, "w");
  try {
    await runTimed(argv, { env, signal, stdout: fd, deadlineMs: PODMAN_DEADLINE_MS });
  } finally {
    closeSync(fd);
  }
}
