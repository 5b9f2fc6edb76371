/** A key typed at `thaw attach`, until the guest's terminal has echoed it, against the same over nothing but the guest's port. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createQemuRunner } from "../../runners/qemu/runner.ts";
import { interleave } from "./interleave.ts";
import { figure, peer, type Row } from "./row.ts";
import type { World } from "./world.ts";

const KEY = "k";
const TTY = { rows: 24, cols: 80 };
/** Its terminal echoes each key as it comes. */
const ARGV = ["cat"];
const DEADLINE_MS = 20_000;
const PAUSE_MS = 5;

/** A terminal in a guest. */
interface Terminal extends AsyncDisposable {
  /** Milliseconds until a key came back. */
  type(): Promise<number>;
}

export async function measureAttach(world: World): Promise<Row[]> {
  await using bare = await openBare(world);
  await using command = await openCommand(world);
  const { ours, against } = await interleave({
    runs: world.runs(200),
    ours: () => typeRested(command),
    against: () => typeRested(bare),
    signal: world.signal,
  });
  return [
    {
      name: "attach: a key, there and back",
      ours: figure("ms", ours),
      against: peer("bare exec", "ms", against),
    },
    {
      name: "attach: added to a key's round trip",
      ours: figure(
        "ms",
        ours.map((ms, index) => ms - (against[index] ?? Number.NaN)),
      ),
      target: { of: "ours", bound: "at most", value: 2 },
    },
  ];
}

async function typeRested(terminal: Terminal): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  return terminal.type();
}

/** `thaw attach`, its standard input and output pipes. */
async function openCommand({ client, thaw, env, signal }: World): Promise<Terminal> {
  const { id: sandbox } = await client.sandboxes.create({}, { signal });
  const exec = await client.sandboxes
    .at(sandbox)
    .startDetached({ argv: ARGV, tty: TTY, stdin: true }, { signal });
  const [file, ...args] = thaw("attach", sandbox, exec.id, "--interactive");
  const child = spawn(file, args, { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "ignore"] });
  const echo = echoes((write) => child.stdin.write(write));
  child.stdout.on("data", echo.heard);
  child.once("exit", (code) => echo.failed(new Error(`thaw attach ended with ${code}`)));
  return {
    type: echo.type,
    [Symbol.asyncDispose]: async () => {
      const gone = once(child, "exit");
      if (child.exitCode === null) child.kill();
      await gone;
      await client.sandboxes.at(sandbox).remove();
    },
  };
}

/** The agent's port of a machine of the same snapshot, in this process. */
async function openBare({ home, dist, scratch, snapshot, signal }: World): Promise<Terminal> {
  const id = "bench-bare";
  const stateDir = join(scratch, id);
  const runtimeRoot = join(scratch, "run-bare");
  for (const dir of [stateDir, runtimeRoot]) mkdirSync(dir, { mode: 0o711 });
  const runner = createQemuRunner({
    ...{ home, runtimeRoot },
    agentPath: join(dist, "agent", "thaw-agent"),
    sealPath: join(dist, "agent", "thaw-seal"),
  });
  const { resources, needs } = snapshot;
  const files = { dir: join(home, "snapshots", snapshot.id), id: snapshot.id, resources, needs };
  const machine = await runner.thaw({ id, stateDir, snapshot: files }, signal);
  const close = async (): Promise<void> => {
    await machine.stop();
    for (const dir of [stateDir, runtimeRoot]) rmSync(dir, { recursive: true, force: true });
  };
  try {
    const agent = await machine.agent({ deadlineMs: DEADLINE_MS, signal });
    const echo = echoes((write) => void stream.write(Buffer.from(write)));
    const { stream } = await agent.start(
      { id: "keys", argv: ARGV, tty: TTY, stdin: true },
      {
        onData: (channel, piece) => {
          echo.heard();
          stream.consume(channel, piece.length);
        },
        onClose: (error) => echo.failed(error ?? new Error("the agent's stream ended")),
      },
    );
    return { type: echo.type, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Times keys that are written one at a time. */
function echoes(write: (key: string) => void): {
  type(): Promise<number>;
  heard(): void;
  failed(error: Error): void;
} {
  let waiting: PromiseWithResolvers<void> | undefined;
  let failure: Error | undefined;
  return {
    type: async () => {
      if (failure) throw failure;
      waiting = Promise.withResolvers();
      const start = performance.now();
      write(KEY);
      await waiting.promise;
      return performance.now() - start;
    },
    heard: () => waiting?.resolve(),
    failed: (error) => {
      failure = error;
      waiting?.reject(error);
    },
  };
}
