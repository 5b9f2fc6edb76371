/**
 * Whether this host can take and replay differences, proven by one: a clone of a snapshot is told something, its difference is taken, a
 * second clone is thawed from that and asked. What was proven holds for the build of QEMU, the host's kernel and the accelerator.
 */
import { access, mkdir, rm } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { Mark } from "../agent/mark.ts";
import { Proof } from "../host/proof.ts";
import type { DifferenceVerdict, Machine, MachinePlace, Runner, SnapshotFiles } from "../runner.ts";
import type { Context } from "./context.ts";

const MARK_PATH = "/dev/shm/thaw-difference-proof";

export function differenceProof(context: Context): Proof<object> {
  return new Proof({
    home: context.home,
    section: "difference",
    untried: "no difference has been taken yet",
    key: () => keyOf(context),
    parse: () => ({}),
  });
}

/** What is known for this very host, kernel and QEMU. */
export async function recallDifference(context: Context, proof: Proof<object>): Promise<DifferenceVerdict> {
  const missing = await access(context.pagesPath).then(
    () => false,
    () => true,
  );
  if (missing) return { state: "broken", reason: `the helper ${context.pagesPath} is missing` };
  return proof.recall();
}

/** What is known; when nothing is, it is found out now. Never rejects but for `signal`. */
export async function proveDifference(
  context: Context,
  runner: Runner,
  proof: Proof<object>,
  using: { snapshot: SnapshotFiles; place: MachinePlace },
  signal?: AbortSignal,
): Promise<DifferenceVerdict> {
  const known = await context.difference();
  if (known.state !== "unproven") return known;
  return proof.prove(async () => {
    await prove(runner, using, signal);
    return {};
  }, signal);
}

async function keyOf(context: Context): Promise<string> {
  const [{ build }, kvm] = await Promise.all([context.facts(), context.kvm()]);
  return [build, release(), kvm.state === "works" ? "kvm" : "tcg", process.getuid?.()].join(" | ");
}

async function prove(
  runner: Runner,
  proof: { snapshot: SnapshotFiles; place: MachinePlace },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { snapshot, place } = proof;
  const machines: Machine[] = [];
  const thaw = async (
    index: number,
    from?: Awaited<ReturnType<Machine["takeDifference"]>>,
  ): Promise<Machine> => {
    // One after the other under one id, by which a crash is cleared up after.
    const { id } = place;
    const stateDir = join(place.stateDir, String(index));
    await mkdir(stateDir, { recursive: true, mode: 0o711 });
    const machine = await runner.thaw(
      { id, stateDir, snapshot, ...(from ? { difference: from } : {}) },
      signal,
    );
    machines.push(machine);
    return machine;
  };
  try {
    const source = await thaw(1);
    const mark = new Mark(MARK_PATH, signal);
    const agent = await mark.write(source);
    const dir = join(place.stateDir, "difference");
    await mkdir(dir, { mode: 0o711 });
    const taken = await source.takeDifference(dir, { signal });
    await mark.check(agent, "the machine it was taken of");
    await source.stop();
    await mark.checkIn(await thaw(2, taken), "the machine thawed from it");
    runner.forget(taken.id);
  } finally {
    for (const machine of machines) await machine.stop().catch(() => {});
    await rm(place.stateDir, { recursive: true, force: true });
  }
}
