/** A command's start is told before its end, whenever its guest tells the end. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { Exec } from "../../engine/execs/exec.ts";
import { execRecord } from "../../engine/execs/record.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { AgentRefusal } from "../../runners/agent/errors.ts";
import type { AgentStream, StreamHandlers } from "../../runners/agent/stream.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-exec-order-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const exit = { event: "exit", code: 0, signal: null, oom: false, out: 0, err: 0, durationMs: 1 };

test.each<[string, number, string[]]>([
  ["before the answer to the start", -3, ["started", "ended"]],
  ["in the same turn", 0, ["started", "ended"]],
  ["while its record is written", 1, ["started", "ended"]],
  ["never: its guest refuses it", Number.NaN, ["ended"]],
])("the end comes %s", async (name, turns, told) => {
  const record = execRecord.parse({
    ...{ id: name.replaceAll(/\W/g, "-"), sandbox: "s", argv: ["x"], envNames: [], cwd: null, user: null },
    ...{ tty: false, state: "starting", startedAt: "", endedAt: null, deadline: null, timedOut: false },
    ...{ exit: null, error: null },
  });
  const exec = await Exec.create(folder, record, null);
  const heard: string[] = [];
  exec.on("started", () => heard.push("started"));
  exec.on("ended", () => heard.push("ended"));
  const guest = {
    start: async (_spec: object, handlers: StreamHandlers) => {
      if (Number.isNaN(turns)) throw new AgentRefusal({ kind: "not-found", message: "no such program" });
      if (turns <= 0) handlers.onEvent?.(exit);
      for (let left = -turns; left > 0; left -= 1) await turn();
      if (turns > 0) process.nextTick(() => handlers.onEvent?.(exit));
      return { stream: {} as AgentStream, in: 0, out: 0, err: 0 };
    },
    forget: async () => {},
  };
  await exec.start(guest as unknown as Agent, { argv: ["x"] } as never).catch(() => {});
  await exec.ended();
  expect(heard).toEqual(told);
});
