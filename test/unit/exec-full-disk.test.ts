/** A command that ends while the disk is full: its end is told with all its output, also by the next daemon. */
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Exec } from "../../engine/execs/exec.ts";
import { followExec } from "../../engine/execs/follow.ts";
import { type ExecRecord, execKind, execRecord } from "../../engine/execs/record.ts";
import { readRecordNow } from "../../engine/state/record.ts";
import type { Agent, ExecHandlers } from "../../runners/agent/agent.ts";
import type { AgentStream } from "../../runners/agent/stream.ts";
import { until } from "../helpers/processes.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-exec-full-disk-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const newRecord = (id: string): ExecRecord =>
  execRecord.parse({
    ...{ id, sandbox: "s", argv: ["x"], envNames: [], cwd: null, user: null, tty: false, state: "starting" },
    ...{ startedAt: "", endedAt: null, deadline: null, timedOut: false, exit: null, error: null },
  });

/** A guest with one command that has written and ended. As the agent: it keeps both until it is told to forget them. */
class Guest {
  readonly asked: object[] = [];
  readonly #text: string;
  acknowledged = 0;
  isForgotten = false;

  constructor(text: string) {
    this.#text = text;
  }

  get agent(): Agent {
    const answer = async (at: { out?: number }, handlers: ExecHandlers) => {
      this.asked.push({ out: at.out ?? 0 });
      const start = Math.max(this.acknowledged, at.out ?? 0);
      handlers.onOffsets?.({ out: start, err: 0 });
      const rest = Buffer.from(this.#text).subarray(start);
      if (rest.length > 0) handlers.onData?.(1, rest);
      const end = { code: 4, signal: null, oom: false, out: this.#text.length, err: 0, durationMs: 1 };
      handlers.onEvent?.({ event: "exit", ...end });
      const consume = (_channel: number, bytes: number): void => {
        this.acknowledged += bytes;
      };
      return { stream: { consume } as unknown as AgentStream, in: 0, out: start, err: 0 };
    };
    const forget = async (): Promise<void> => {
      this.isForgotten = true;
    };
    return { start: answer, attach: answer, forget } as unknown as Agent;
  }
}

async function shown(exec: Exec): Promise<string> {
  let text = "";
  const { signal } = new AbortController();
  for await (const piece of followExec(exec, { from: { out: 0, err: 0 }, follow: true, signal }))
    text += "data" in piece ? piece.data : `(lost until ${piece.droppedUntil})`;
  return text;
}

/** A command that wrote `out` and ended with 4, of which nothing could be written. @param segment stands in the way of its log */
async function endedOnFullDisk(id: string): Promise<{ exec: Exec; segment: string; guest: Guest }> {
  const exec = await Exec.create(folder, newRecord(id), null);
  const segment = join(folder, exec.record.id, "0.log");
  symlinkSync("/dev/full", segment);
  const guest = new Guest("out\n");
  await exec.start(guest.agent, { argv: ["x"] } as never);
  await exec.ended();
  return { exec, segment, guest };
}

test("the guest keeps output and end until both are on disk", async () => {
  const { exec, segment, guest } = await endedOnFullDisk("killed");
  expect([await shown(exec), exec.record.exit?.code]).toEqual(["out\n", 4]);
  await exec.log.flush();
  expect([guest.acknowledged, guest.isForgotten]).toEqual([0, false]);
  await exec.close();

  // The next daemon has what is on disk, and there is room again.
  rmSync(segment);
  const kept = readRecordNow(join(folder, `${exec.record.id}.json`), execKind);
  if (kept.state !== "ok") throw new Error("there is no record");
  const next = await Exec.restore(folder, kept.value, null);
  expect(next.isOver).toBe(false);
  await next.resume(guest.agent);
  await next.ended();
  expect([await shown(next), next.record.exit?.code]).toEqual(["out\n", 4]);
  expect(guest.asked).toEqual([{ out: 0 }, { out: 0 }]);
  await until(() => guest.isForgotten, "the guest to be told that all is on disk");
  await next.close();
});

test("without a new daemon, too, when there is room again", async () => {
  const { exec, segment, guest } = await endedOnFullDisk("waits");
  expect(await exec.log.flush()).toBe(false);
  rmSync(segment);
  await until(() => guest.isForgotten, "the guest to be told that all is on disk");
  expect(await shown(exec)).toBe("out\n");
  await exec.close();
});

test("a command that can't be recorded is refused before the guest hears of it, and leaves nothing", async () => {
  writeFileSync(join(folder, "no-folder"), "");
  const record = newRecord("unrecorded");
  await expect(Exec.create(join(folder, "no-folder"), record, null)).rejects.toThrow("ENOTDIR");
});

test("what a log lost of an ended command is said", async () => {
  const record: ExecRecord = { ...newRecord("torn"), state: "exited", output: { out: 9, err: 0 } };
  const exec = await Exec.restore(folder, record, null);
  expect(await shown(exec)).toBe("(lost until 9)");
  await exec.close();
});
