/** Sandboxes by gVisor: a whole run against gVisor without thaw and a container of the same files; programs inside against the host; captures and thaws of a Node process. */
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Sandbox } from "../../client/index.ts";
import { findTool } from "../../runners/host/find-tool.ts";
import { runTimed } from "./command.ts";
import { runInGuest, shell } from "./guest.ts";
import { interleave, repeat, timed } from "./interleave.ts";
import { measureNpm } from "./npm.ts";
import { preparePodman } from "./podman.ts";
import { figure, peer, type Row } from "./row.ts";
import type { World } from "./world.ts";

const NAME = "thaw run --runner gvisor -- true, whole process";
const BARE = ["--platform", "systrap", "--network", "none", "--ignore-cgroups", "do", "true"];
const BUILD_DEADLINE_MS = 900_000;
const NODE = { source: { template: "node", runner: "gvisor" } } as const;
/** Holds so much memory that does not compress, and says when it does. */
const HOLDING = [
  "node",
  "-e",
  "globalThis.held = require('crypto').randomBytes(200e6); require('fs').writeFileSync('/run/held', ''); setInterval(() => {}, 1e6)",
];
const WARM_TAG = "bench:gvisor-warm";
const WARM_PORT = 8080;
const SERVING = [
  "node",
  "-e",
  `require('http').createServer((_, answer) => answer.end('warm')).listen(${WARM_PORT}, () => require('fs').writeFileSync('/run/serves', ''))`,
];
const RETRY_MS = 5;

export async function measureGvisor(world: World): Promise<Row[]> {
  const runsc = findTool("runsc");
  if (runsc === undefined) return [{ name: NAME, note: "not measured: runsc is not installed" }];
  return [
    ...(await measureWhole(world, runsc)),
    await measureNode(world),
    ...(await measureNpm(world, "gvisor")),
    await measureCapture(world),
    await measureWarm(world),
  ];
}

async function measureWhole(world: World, runsc: string): Promise<Row[]> {
  const { thaw, env, signal } = world;
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

/** Both whole: from the request to the exit code that is known. */
async function measureNode(world: World): Promise<Row> {
  const { client, signal } = world;
  await client.templates.build({ template: "node", runner: "gvisor" }, { signal });
  await using sandbox = await client.sandboxes.create(NODE, { signal });
  const samples = await interleave({
    runs: world.runs(15),
    ours: () => timed(() => sandbox.exec(["node", "-p", "1"], { signal })),
    against: () => runTimed([process.execPath, "-p", "1"], { signal }),
    signal,
  });
  return {
    name: "node -p 1 in a sandbox by gVisor",
    ours: figure("ms", samples.ours),
    against: peer("on the host", "ms", samples.against),
    target: { of: "ratio", bound: "at most", value: 2 },
  };
}

/** A command that fails while a process of Node holds 200 MB, in a sandbox of its own. */
async function measureCapture(world: World): Promise<Row> {
  const { client, signal } = world;
  const fail = async (capture: "on-failure" | "never"): Promise<number> => {
    await using sandbox = await client.sandboxes.create(NODE, { signal });
    await begin(world, sandbox, HOLDING, "/run/held");
    const { exec, firstOutputAt, endedAt } = await runInGuest(world, sandbox.id, {
      ...{ argv: ["sh", "-c", "echo; exit 3"], capture },
    });
    const { captured } = exec;
    if (captured !== null && "id" in captured) {
      // The capture is still being stored in the background, which would slow the next sample down.
      await client.captures.remove(captured.id);
    } else if (capture === "on-failure") throw new Error(`not captured: ${captured?.error}`);
    return endedAt - firstOutputAt;
  };
  const { ours, against } = await interleave({
    runs: world.runs(7),
    ours: () => fail("on-failure"),
    against: () => fail("never"),
    signal,
  });
  const added = ours.map((ms, index) => ms - (against[index] ?? Number.NaN));
  return {
    name: "gVisor: exec fails → result, added by a capture, 200 MB in Node",
    ours: figure("ms", added),
    target: { of: "ours", bound: "at most", value: 400 },
  };
}

/** From the request for a sandbox to the answer of the server that was frozen with it. */
async function measureWarm(world: World): Promise<Row> {
  const { client, signal } = world;
  {
    await using sandbox = await client.sandboxes.create(NODE, { signal });
    await begin(world, sandbox, SERVING, "/run/serves");
    await sandbox.freeze(WARM_TAG, { signal });
  }
  try {
    const samples = await repeat(world.runs(10), signal, async () => {
      const start = performance.now();
      await using sandbox = await client.sandboxes.create({ source: { snapshot: WARM_TAG } }, { signal });
      const { port } = await sandbox.ports.add({ port: 0, guest: WARM_PORT }, { signal });
      await answer(port ?? 0);
      return performance.now() - start;
    });
    return {
      name: "gVisor: thaw of a warm Node snapshot → its answer over a port",
      ours: figure("ms", samples),
      target: { of: "ours", bound: "at most", value: 600 },
    };
  } finally {
    await client.snapshots.remove(WARM_TAG);
  }
}

/** Starts a program that makes the file `ready` once it is. */
async function begin(world: World, sandbox: Sandbox, argv: string[], ready: string): Promise<void> {
  await sandbox.startDetached({ argv }, { signal: world.signal });
  await shell(world, sandbox.id, `until [ -e ${ready} ]; do sleep 0.05; done`);
}

async function answer(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.0\r\n\r\n"));
    let text = "";
    socket.on("data", (piece: Buffer) => {
      text += piece.toString("latin1");
    });
    socket.on("error", () => {});
    await once(socket, "close");
    if (text.endsWith("warm")) return;
    await sleep(RETRY_MS);
  }
}
