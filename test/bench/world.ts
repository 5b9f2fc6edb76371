/**
 * What every measurement needs: a build of its own, so that another build beside it changes nothing; a state folder with the template
 * `base`; its daemon; a client. All of it is gone afterwards, unless the state folder was given.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { findPaths, type Snapshot, Thaw } from "../../client/index.ts";
import { runTimed } from "./command.ts";

const BUILD_DEADLINE_MS = 900_000;
const LEAVE_DEADLINE_MS = 10_000;
const ROOT = join(import.meta.dirname, "..", "..");

export interface World extends AsyncDisposable {
  client: Thaw;
  home: string;
  /** A folder for what measurements make. */
  scratch: string;
  /** The build under measurement. */
  dist: string;
  snapshot: Snapshot;
  /** argv of a `thaw` command. */
  thaw(...args: string[]): [string, ...string[]];
  /** The environment of a `thaw` command. */
  env: Record<string, string | undefined>;
  /** Samples per row when the command line says so, else the row's own number. */
  runs(usual: number): number;
  signal: AbortSignal;
}

export interface WorldOptions {
  /** Kept, with what was built in it. */
  home?: string | undefined;
  runs?: number | undefined;
  signal: AbortSignal;
}

export async function openWorld({ home: given, runs, signal }: WorldOptions): Promise<World> {
  if (!existsSync(join(ROOT, "dist", "thaw.mjs"))) throw new Error("dist/ is not built: npm run build");
  const scratch = mkdtempSync("/tmp/thaw-bench-");
  const home = given ?? join(scratch, "home");
  const dist = join(scratch, "dist");
  mkdirSync(home, { recursive: true });
  cpSync(join(ROOT, "dist"), dist, { recursive: true });
  const env = { THAW_HOME: home, THAW_SOCKET: undefined, NO_COLOR: "1" };
  const client = new Thaw({ ...findPaths({ ...process.env, ...env }), autostart: false });
  const thaw = (...args: string[]): [string, ...string[]] => [
    process.execPath,
    join(dist, "thaw.mjs"),
    ...args,
  ];
  const close = async (): Promise<void> => {
    await leave(client).finally(() => client.close());
    if (given === undefined) rmSync(dirname(client.options.socket), { recursive: true, force: true });
    rmSync(scratch, { recursive: true, force: true });
  };
  try {
    // A daemon of another build would be measured instead.
    await leave(client);
    process.stderr.write("bench: the template base\n");
    await runTimed(thaw("template", "build", "base"), { env, signal, deadlineMs: BUILD_DEADLINE_MS });
    const snapshot = await client.snapshots.get("base", { signal });
    const world = {
      client,
      home,
      scratch,
      dist,
      snapshot,
      thaw,
      env,
      signal,
      runs: (usual: number) => runs ?? usual,
    };
    return { ...world, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Removes every sandbox and ends the daemon, when there is one. */
async function leave(client: Thaw): Promise<void> {
  const { socket } = client.options;
  if (!existsSync(socket)) return;
  const info = await client.host.info().catch(() => undefined);
  if (info === undefined) return;
  await removeAll(client);
  await client.host.shutDown();
  const deadline = performance.now() + LEAVE_DEADLINE_MS;
  while (existsSync(`/proc/${info.pid}/exe`) && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function removeAll(client: Thaw): Promise<void> {
  const sandboxes = await client.sandboxes.list();
  await Promise.all(sandboxes.map(({ id }) => client.sandboxes.at(id).remove()));
}
