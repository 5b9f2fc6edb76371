/** Deadlines at the host's pace: where one is set, it is as long as the host needs. */

import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { measurePace, paced, setPace } from "../../host/pace.ts";
import { Agent } from "../../runners/agent/agent.ts";
import { deadlineSignal } from "../../runners/host/deadline.ts";
import { runTool } from "../../runners/host/tool.ts";
import { QmpClient } from "../../runners/qemu/qmp.ts";
import { connectUnix } from "../../runners/qemu/unix-socket.ts";

afterEach(() => setPace(1));

test("a common machine is not slow, busy or not; an emulated one is, within bounds", () => {
  expect([20, 35, 149].map(measurePace)).toEqual([1, 1, 1]);
  expect(measurePace(1500)).toBe(10);
  expect(measurePace(60_000)).toBe(20);
  expect(measurePace()).toBeGreaterThanOrEqual(1);
  setPace(2.5);
  expect(paced(15)).toBe(38);
});

test("waits are lengthened, and say how long they were", async () => {
  setPace(10);
  const dir = await mkdtemp(join(tmpdir(), "thaw-pace-"));
  let server: Server | undefined;
  try {
    const path = join(dir, "silent.sock");
    server = createServer(() => {}).listen(path);
    const greeting = QmpClient.open(await connectUnix(path), { greetingTimeoutMs: 3 });
    await expect(greeting).rejects.toThrow("no greeting within 30 ms");
    const hello = Agent.connect(await connectUnix(path), { deadlineMs: 3 });
    await expect(hello).rejects.toThrow("did not answer within 30 ms");
    const tool = runTool("sleep", ["5"], { timeoutMs: 3, debianPackage: "coreutils" });
    await expect(tool).rejects.toThrow("did not end within 0.03 s");
    using deadline = deadlineSignal("it did not start", 3);
    await new Promise((resolve) => deadline.signal.addEventListener("abort", resolve, { once: true }));
    expect((deadline.signal.reason as Error).message).toBe("it did not start within 0.03 s");
  } finally {
    server?.close();
    await rm(dir, { recursive: true });
  }
});
