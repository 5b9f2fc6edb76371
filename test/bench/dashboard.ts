/** The dashboard, as it is built, in a real terminal of 120 × 40: its start, what it costs while nothing happens, and a key through it to a guest. */
import { join } from "node:path";
import { setTimeout as elapse } from "node:timers/promises";
import { rolldown } from "rolldown";
import { interleave } from "./interleave.ts";
import { cpuMsOf } from "./process-use.ts";
import { openPty, type Pty } from "./pty.ts";
import { figure, peer, type Row } from "./row.ts";
import { removeAll, type World } from "./world.ts";

export const SIZE = { cols: 120, rows: 40 };
const LIVE = 20;
const IDLE_MS = 20_000;
const SETTLE_MS = 5_000;
const KEY = "k";
const PAUSE_MS = 5;
/** A key has come back by then. */
const ECHOED_MS = 500;

/** @param more variables that name another host than the world's */
export function openDashboard(world: World, more: Record<string, string> = {}): Promise<Pty> {
  const env = { ...world.env, NO_COLOR: undefined, THAW_CONTEXT: undefined };
  const config = { THAW_CONFIG: join(world.scratch, "config") };
  return openPty(world.thaw(), { ...SIZE, env: { ...env, ...config, ...more }, signal: world.signal });
}

/** Whether the cursor is on the row of this name. */
export function hasCursorOn(name: string): (lines: string[]) => boolean {
  const wanted = new RegExp(`^ ▌[ ●]${name} `);
  return (lines) => lines.some((line) => wanted.test(line));
}

/** Until the list has its rows, against the first frame of a program that says hello. Both keep their compiled code. */
export async function measureDashboardStart(world: World): Promise<Row[]> {
  const { client, scratch, signal } = world;
  const out = join(scratch, "hello");
  await bundleHello(out);
  const { name } = (await client.sandboxes.create({}, { signal })).info;
  try {
    const { ours, against } = await interleave({
      runs: world.runs(10),
      ours: async () => {
        await using dashboard = await openDashboard(world);
        return (await dashboard.until(hasCursorOn(name))) - dashboard.startedAt;
      },
      against: async () => {
        const env = { NODE_COMPILE_CACHE: join(scratch, "hello-cache") };
        await using hello = await openPty([process.execPath, join(out, "hello.mjs")], {
          ...{ ...SIZE, env, signal },
        });
        return (await hello.until((lines) => lines[0] === "hello")) - hello.startedAt;
      },
      signal,
    });
    return [
      {
        name: "dashboard: start → its rows",
        ours: figure("ms", ours),
        against: peer("hello from Ink", "ms", against),
        target: { of: "ratio", bound: "at most", value: 1.6 },
      },
    ];
  } finally {
    await removeAll(client);
  }
}

/** As anybody bundles it. */
export async function bundleHello(out: string): Promise<void> {
  const build = await rolldown({
    input: { hello: join(import.meta.dirname, "hello-ink.tsx") },
    platform: "node",
    transform: { define: { "process.env.NODE_ENV": '"production"' } },
    external: ["react-devtools-core"],
    logLevel: "silent",
  });
  await build.write({ dir: out, format: "esm", entryFileNames: "[name].mjs", minify: true });
  await build.close();
}

/** Live graphs are drawn all the while. Where the machine has no room for so many that run, all are paused. */
export async function measureDashboardIdle(world: World): Promise<Row[]> {
  const { client, signal } = world;
  const arePaused = false;
  try {
    for (let made = 0; made < LIVE; made++) {
      const sandbox = await client.sandboxes.create({}, { signal });
      if (arePaused) await client.sandboxes.at(sandbox.id).pause({ signal });
    }
    await using dashboard = await openDashboard(world);
    await dashboard.until((lines) => lines.some((line) => line.includes(`Sandboxes ${LIVE}`)));
    await elapse(SETTLE_MS, undefined, { signal });
    const before = cpuMsOf(dashboard.pid);
    const start = performance.now();
    await elapse(IDLE_MS, undefined, { signal });
    const share = ((cpuMsOf(dashboard.pid) - before) / (performance.now() - start)) * 100;
    return [
      {
        name: `dashboard: CPU with ${LIVE} live sandboxes`,
        ours: figure("%", [share]),
        target: { of: "ours", bound: "at most", value: 2 },
      },
    ];
  } finally {
    await removeAll(client);
  }
}

/** A key typed in a terminal that the dashboard has handed over, until the guest has echoed it, against `thaw attach` in a terminal of its own. */
export async function measureDashboardAttach(world: World): Promise<Row[]> {
  const { client, signal } = world;
  const start = async (): Promise<{ sandbox: string; exec: string; name: string }> => {
    const { id, name } = (await client.sandboxes.create({}, { signal })).info;
    const tty = { rows: SIZE.rows, cols: SIZE.cols };
    const exec = await client.sandboxes.at(id).startDetached({ argv: ["cat"], tty, stdin: true }, { signal });
    return { sandbox: id, exec: exec.id, name };
  };
  try {
    const other = await start();
    await using direct = await openPty(world.thaw("attach", other.sandbox, other.exec), {
      ...{ ...SIZE, env: world.env, signal },
    });
    const own = await start();
    await using dashboard = await openDashboard(world);
    await dashboard.until(hasCursorOn(own.name));
    dashboard.write("\r");
    // a key that comes before the terminal is raw is lost
    for (const pty of [dashboard, direct])
      while (countKeys(pty.lines()) === 0) {
        pty.write(KEY);
        await elapse(ECHOED_MS, undefined, { signal });
      }
    const types = [dashboard, direct].map((pty) => keyEchoes(pty));
    const [ours = never, against = never] = types;
    const samples = await interleave({ runs: world.runs(200), ours, against, signal });
    return [
      {
        name: "dashboard: a key in an attached terminal",
        ours: figure("ms", samples.ours),
        against: peer("thaw attach", "ms", samples.against),
        target: { of: "ratio", bound: "at most", value: 1.1 },
      },
    ];
  } finally {
    await removeAll(client);
  }
}

function countKeys(lines: string[]): number {
  return lines.join("").match(/k+$/)?.[0].length ?? 0;
}

/** Each key that is echoed makes the last line of what the terminal shows longer. */
function keyEchoes(pty: Pty): () => Promise<number> {
  return async () => {
    await elapse(PAUSE_MS);
    const before = countKeys(pty.lines());
    const start = performance.now();
    pty.write(KEY);
    return (await pty.until((lines) => countKeys(lines) > before)) - start;
  };
}

function never(): Promise<number> {
  throw new Error("there is no terminal");
}
