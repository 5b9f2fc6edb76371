/** A core file out of a capture: of the process that its kernel holds, or, after a panic, of the whole machine's memory. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { Machine } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import type { CaptureStore, StoredCapture } from "./store.ts";
import { greet, withMachine } from "./trial.ts";

/** Calls `take` with the core's bytes, which are the guest's. Throws `unsupported` for a capture that has none. */
export async function readCore(
  context: LiveContext,
  store: CaptureStore,
  capture: StoredCapture,
  options: { take: (bytes: AsyncIterable<Buffer>) => Promise<void>; signal: AbortSignal },
): Promise<void> {
  const { take, signal } = options;
  const panicked = !capture.manifest.resumes;
  if (!panicked && capture.file.crash === null) {
    throw new EngineError(
      "unsupported",
      `${capture.id} has no core: no process crashed in it (${capture.file.trigger})`,
      {
        hint: `thaw replay ${capture.id} -- ps aux; running processes can be inspected there with a debugger`,
      },
    );
  }
  await withMachine(context, store, { capture, paused: panicked, signal }, async (machine) => {
    if (panicked) return take(readDump(await machine.dumpMemory(), machine));
    const agent = await greet(machine, signal);
    try {
      const { body } = await agent.core(capture.file.crash?.pid);
      await take(body);
    } finally {
      agent.close();
    }
  });
}

/** The file lies where the machine may write: no link is followed, and no more than its memory is read. */
async function* readDump(path: string, { record }: Machine): AsyncGenerator<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = await file.stat();
    const limit = (record.resources.memoryMib + 64) * 2 ** 20;
    if (!stats.isFile() || stats.size > limit)
      throw new EngineError("machine-ended", `QEMU wrote ${stats.size} bytes of core; the limit is ${limit}`);
    yield* file.createReadStream({ autoClose: false, highWaterMark: 1 << 20 });
  } finally {
    await file.close();
  }
}
