/**
 * How a machine differs from its snapshot, taken in the tens of milliseconds that it takes to copy the memory it has written: `stop`, cut
 * the disk, save the device state without memory, copy the mapping's own pages, `cont`. The stored form is in
 * runners/native/src/pages.rs.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Difference, type DifferenceOptions, type MachineRecord, RunnerError } from "../runner.ts";
import type { Context } from "./context.ts";
import { linkLayers, type PreparedCut, prepareCut, readChain } from "./disk-chain.ts";
import { KEEPER_SOCKET, workDir } from "./machine-dir.ts";
import { asObject, type QmpClient } from "./qmp.ts";

const DEVICES_FILE = "devices.state";
/** Device state without RAM is below 1 MB; a QEMU that writes more is not believed. */
const MAX_STATE_BYTES = 64 * 1024 * 1024;
const HELPER_TIMEOUT_MS = 120_000;
const MIB = 1024 * 1024;

export async function takeDifference(
  context: Context,
  source: { record: MachineRecord; qmp: QmpClient },
  dir: string,
  { signal, after }: DifferenceOptions = {},
): Promise<Difference> {
  const { record, qmp } = source;
  const { build } = await context.facts();
  const chain = await readChain(record);
  const devices = join(workDir(record), DEVICES_FILE);
  const bytes = String(record.resources.memoryMib * MIB);
  const helper = startHelper(context.pagesPath, [
    join(record.runtimeDir, KEEPER_SOCKET),
    bytes,
    join(dir, "pages"),
    ...(chain.pages === null ? [] : [chain.pages]),
  ]);
  let cut: PreparedCut | undefined;
  try {
    await rm(devices, { force: true });
    [cut] = await Promise.all([prepareCut(qmp, record, chain), helper.says("ready"), after?.catch(() => {})]);
    signal?.throwIfAborted();
    const wasRunning = asObject(await qmp.execute("query-status")).status === "running";
    const filename = `${chain.runtimeDirInside}/${DEVICES_FILE}`;
    let pauseMs = 0;
    let copied: string;
    const stoppedAt = performance.now();
    try {
      if (wasRunning) await qmp.execute("stop");
      helper.go();
      // The disk before the devices: their state must not be older than what is cut.
      [, , copied] = await Promise.all([
        cut.cut(),
        qmp.execute("xen-save-devices-state", { filename, live: false }),
        helper.says("copied"),
      ]);
    } finally {
      if (wasRunning) {
        await qmp.execute("cont");
        pauseMs = performance.now() - stoppedAt;
      }
    }
    const done = cut;
    cut = undefined;
    const [layers] = await Promise.all([
      done.layers(),
      helper.says("done"),
      takeDevices(devices, join(dir, "devices")),
    ]);
    const own = layers.slice(chain.ofSnapshot);
    const names = own.map((_, index) => `layer-${index + 1}.qcow2`);
    await linkLayers(own, (index) => join(dir, names[index] ?? ""));
    const id = `difference-${randomUUID()}`;
    return { dir, id, layers: names, build, pauseMs, copiedBytes: Number(copied) };
  } catch (error) {
    await cut?.abandon().catch(() => {});
    throw error;
  } finally {
    helper.end();
    await rm(devices, { force: true });
  }
}

/** Takes over a file that QEMU wrote into a folder of its own: no link is followed, nothing endless is read. */
async function takeDevices(from: string, to: string): Promise<void> {
  const handle = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (!found.isFile() || found.size === 0 || found.size > MAX_STATE_BYTES) {
      throw new RunnerError("start-failed", `QEMU saved ${found.size} bytes of device state`);
    }
    await writeFile(to, (await handle.readFile()).subarray(0, MAX_STATE_BYTES), { mode: 0o444, flag: "wx" });
  } finally {
    await handle.close();
  }
}

interface Helper {
  /** What follows `word` on the line that starts with it. */
  says(word: string): Promise<string>;
  go(): void;
  end(): void;
}

function startHelper(path: string, args: readonly string[]): Helper {
  const child = spawn(path, args, { stdio: ["pipe", "pipe", "pipe"], env: {}, cwd: "/" });
  const lines = new Map<string, PromiseWithResolvers<string>>();
  const line = (word: string): PromiseWithResolvers<string> => {
    const known = lines.get(word);
    if (known !== undefined) return known;
    const made = Promise.withResolvers<string>();
    made.promise.catch(() => {});
    lines.set(word, made);
    return made;
  };
  let out = "";
  let err = "";
  const fail = (error: RunnerError): void => {
    for (const word of ["ready", "copied", "done"]) line(word).reject(error);
  };
  const timer = setTimeout(() => {
    child.kill("SIGKILL");
    fail(new RunnerError("timeout", `copying memory did not end within ${HELPER_TIMEOUT_MS / 1000} s`));
  }, HELPER_TIMEOUT_MS);
  child.once("error", (error: NodeJS.ErrnoException) => {
    const missing = error.code === "ENOENT";
    const hint = missing ? { hint: "npm run build" } : {};
    fail(new RunnerError(missing ? "missing-tool" : "start-failed", `${path}: ${error.message}`, hint));
  });
  child.once("close", () =>
    fail(new RunnerError("start-failed", `copying memory failed: ${err.trim() || "the helper ended"}`)),
  );
  child.stdin.on("error", () => {});
  child.stderr.on("data", (chunk: Buffer) => {
    err = (err + chunk.toString("utf8")).slice(-1_000);
  });
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString("latin1");
    for (let end = out.indexOf("\n"); end >= 0; end = out.indexOf("\n")) {
      const [word = "", rest = ""] = out.slice(0, end).split(" ");
      out = out.slice(end + 1);
      line(word).resolve(rest);
    }
  });
  return {
    says: (word) => line(word).promise,
    go: () => void child.stdin.write("go\n"),
    end: () => {
      clearTimeout(timer);
      child.kill("SIGKILL");
    },
  };
}
