/** A container image of the template's root file system, in a store of its own. */
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTool } from "../../runners/qemu/find-tool.ts";
import { runTimed } from "./command.ts";
import type { World } from "./world.ts";

const IMAGE = "localhost/thaw-bench";
const IMPORT_DEADLINE_MS = 300_000;
/** Containers in containers can't raise limits, which podman does by default. */
const CONTAINERS_CONF = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n';

export interface Podman extends AsyncDisposable {
  /** Milliseconds of a whole `podman run --rm`. */
  run(...command: string[]): Promise<number>;
}

/** Rejects with why there is nothing to compare with. */
export async function preparePodman({ scratch, thaw, env, signal }: World): Promise<Podman> {
  const path = await findTool("podman");
  if (path === undefined) throw new Error("podman is not installed");
  const dir = join(scratch, "podman");
  mkdirSync(dir);
  const conf = join(dir, "containers.conf");
  writeFileSync(conf, CONTAINERS_CONF);
  const runtime = (await findTool("runc")) === undefined ? [] : ["--runtime", "runc"];
  const store = ["--root", join(dir, "store"), "--runroot", join(dir, "run")];
  const podman = (...args: string[]): [string, ...string[]] => [path, ...store, ...runtime, ...args];
  const options = { env: { CONTAINERS_CONF: conf }, signal, deadlineMs: IMPORT_DEADLINE_MS };
  const close = async (): Promise<void> => {
    await runTimed(podman("system", "reset", "--force"), {
      ...options,
      signal: new AbortController().signal,
    });
  };
  const run = (...command: string[]): Promise<number> =>
    runTimed(podman("run", "--rm", "--network", "none", IMAGE, ...command), options);
  try {
    const archive = join(dir, "rootfs.tar");
    await exportRootfs(archive, {
      argv: thaw("run", "--", "tar", "-C", "/", "--one-file-system", "-cf", "-", "."),
      env,
      signal,
    });
    await runTimed(podman("import", "--quiet", archive, IMAGE), options);
    await run("true");
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
  return { run, [Symbol.asyncDispose]: close };
}

async function exportRootfs(
  archive: string,
  { argv, env, signal }: { argv: [string, ...string[]]; env: World["env"]; signal: AbortSignal },
): Promise<void> {
  const fd = openSync(archive, "w");
  try {
    await runTimed(argv, { env, signal, stdout: fd, deadlineMs: IMPORT_DEADLINE_MS });
  } finally {
    closeSync(fd);
  }
}
