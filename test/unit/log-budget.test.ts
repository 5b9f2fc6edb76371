import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { EngineError } from "../../engine/errors.ts";
import { Exec } from "../../engine/execs/exec.ts";
import { LogBudget, type LogKeeper } from "../../engine/execs/log-budget.ts";
import { execRecord } from "../../engine/execs/record.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-log-budget-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

class Keeper implements LogKeeper {
  readonly id: string;
  readonly execs = new Map<string, Exec>();

  constructor(id: string) {
    this.id = id;
  }

  async dropExec(exec: Exec): Promise<void> {
    this.execs.delete(exec.record.id);
    await exec.remove();
  }

  /** An exec that has written, and ended unless it is to run on. */
  async add(id: string, bytes: number, runs = false): Promise<void> {
    const record = execRecord.parse({
      ...{
        id: `${this.id}-${id}`,
        sandbox: this.id,
        argv: ["x"],
        envNames: [],
        cwd: null,
        user: null,
        tty: false,
      },
      ...{
        state: "running",
        startedAt: "",
        endedAt: null,
        deadline: null,
        timedOut: false,
        exit: null,
        error: null,
      },
    });
    const exec = await Exec.create(folder, record, null);
    exec.log.append(1, Buffer.alloc(bytes), () => {});
    await exec.log.flush();
    if (!runs) await exec.fail(new EngineError("cancelled", "over"));
    this.execs.set(record.id, exec);
  }

  get names(): string[] {
    return [...this.execs.keys()];
  }
}

test("a sandbox keeps so much: the oldest that ended goes first, never one that runs or the newest", async () => {
  const budget = new LogBudget({ sandboxBytes: 2500, hostBytes: 1e9 });
  const web = new Keeper("web");
  await web.add("a", 1000);
  await web.add("b", 1000, true);
  await web.add("c", 1000);
  await web.add("d", 9000);
  await budget.settle(web, () => [web]);
  expect(web.names).toEqual(["web-b", "web-d"]);
});

test("so does the host: what is largest gives first", async () => {
  const budget = new LogBudget({ sandboxBytes: 1e9, hostBytes: 5000 });
  const [small, large] = [new Keeper("small"), new Keeper("large")];
  for (const name of ["a", "b"]) await small.add(name, 500);
  for (const name of ["a", "b", "c", "d", "e"]) await large.add(name, 1000);
  const all = () => [small, large];
  await budget.settle(small, all);
  await budget.settle(large, all);
  expect(small.names).toHaveLength(2);
  expect(large.names).toEqual(["large-c", "large-d", "large-e"]);
  budget.forget("large");
  await budget.settle(small, () => [small]);
  expect(small.names).toHaveLength(2);
});
