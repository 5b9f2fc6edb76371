/**
 * `npm run chaos -- --rounds N --seed S`: clients use thaw at the same time while its processes are killed, its disk fills and its clock jumps;
 * then everything that was promised is looked at. CONTRIBUTING.md says more.
 */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { Thaw } from "../../../client/index.ts";
import { abortedBySignals, optionsOrExit } from "../../helpers/by-hand.ts";
import { until } from "../../helpers/processes.ts";
import { openSuiteHome } from "../suite-home.ts";
import { act, codeOf, type World } from "./act.ts";
import { checkContents, checkImages, checkLeftovers, checkListed, checkLog, type Verified } from "./check.ts";
import { strike } from "./faults.ts";
import { type Fault, makePlan, type Round, type Step } from "./plan.ts";
import { Broken, Told } from "./told.ts";

const USAGE = `usage: npm run chaos -- [--rounds N] [--seed S] [--every N] [--home DIR] [--log FILE] [--plan] [--keep]
  --rounds N   50
  --seed S     decides everything that is done; default: the time
  --every N    looks whether everything is whole after each N rounds; 5
  --home DIR   has the template base, or it is built there; default: built into a folder that is removed afterwards
  --log FILE   what was done, as JSON lines; default: in the folder for temporary files
  --plan       only print what would be done
  --keep       leave the state folder and its machines as they are when an invariant is broken`;

interface Options {
  rounds: number;
  seed: number;
  every: number;
  home: string | undefined;
  log: string;
  plan: boolean;
  keep: boolean;
}

/** A step that takes longer hangs. */
const STEP_DEADLINE_MS = 240_000;
const WAKE_MS = 10_000;
const ENDED_DEADLINE_MS = 5_000;
const DISK_MIB = 1300;
/** What a step on a sandbox may say when somebody else works on it at the same time, or it is in another state. */
const CONFLICTS = ["conflict", "not-found", "machine-ended", "cancelled", "cli"];

function parseOptions(): Options {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const { values } = parseArgs({
    options: {
      ...{ rounds: text, seed: text, every: text, home: text, log: text, plan: flag, keep: flag },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true) {
    process.stdout.write(`${USAGE}\n`);
    process.exit(0);
  }
  const count = (name: string, value: string | undefined, usual: number): number => {
    const number = value === undefined ? usual : Number(value);
    if (!Number.isSafeInteger(number) || number < 1) throw new Error(`--${name} ${value} is not a count`);
    return number;
  };
  const seed = count("seed", values.seed, (Date.now() % 2 ** 31) + 1);
  return {
    ...{ seed, rounds: count("rounds", values.rounds, 50), every: count("every", values.every, 5) },
    ...{ home: values.home, plan: values.plan, keep: values.keep },
    log: values.log ?? join(tmpdir(), `thaw-chaos-${seed}.jsonl`),
  };
}

async function chaos(options: Options, plan: Round[], signal: AbortSignal): Promise<void> {
  const { rounds, every, log } = options;
  const scratch = mkdtempSync(join(tmpdir(), "thaw-chaos-scratch-"));
  const home = await openSuiteHome({ name: "chaos", seed: options.home, freeMib: DISK_MIB });
  let isKept = false;
  try {
    if (!home.isSmall) process.stderr.write("chaos: not root, so no disk fills\n");
    writeFileSync(log, "");
    const note = (entry: object): void =>
      appendFileSync(log, `${JSON.stringify({ at: new Date().toISOString(), ...entry })}\n`);
    const world: World = { home, scratch, signal, told: new Told() };
    const watcher = home.client();
    const clients = (plan[0]?.clients ?? []).map(() => home.client());
    const verified: Verified = new Set();
    for (const round of plan) {
      await doRound(world, clients, watcher, round, note);
      await checkListed(world, watcher);
      await removeHit(world, watcher, round);
      if (round.number % every !== 0 && round.number !== rounds) continue;
      await checkContents(world, watcher);
      await checkLeftovers(world, watcher);
      await checkImages(world, watcher, verified);
      checkLog(world);
      process.stderr.write(
        `chaos: ${round.number} of ${rounds} rounds, ${world.told.sandboxes.size} sandboxes so far\n`,
      );
    }
    await leaveNothing(world, watcher);
  } catch (error) {
    isKept = options.keep && error instanceof Broken;
    throw error;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
    if (isKept) process.stderr.write(`chaos: kept: THAW_HOME=${home.path}\n`);
    else await home[Symbol.asyncDispose]();
  }
}

async function doRound(
  world: World,
  clients: Thaw[],
  watcher: Thaw,
  round: Round,
  note: (entry: object) => void,
): Promise<void> {
  const { number, faults } = round;
  const strikes = faults.map(async (fault) => {
    await sleep(fault.afterMs, undefined, { signal: world.signal });
    const hit = await strike(world, watcher, fault).catch((error: Error) => `failed: ${error.message}`);
    note({ round: number, fault, hit });
  });
  const work = round.clients.map(async (steps, index) => {
    const client = clients[index] as Thaw;
    for (const step of steps) {
      world.signal.throwIfAborted();
      const start = performance.now();
      const within = AbortSignal.any([world.signal, AbortSignal.timeout(STEP_DEADLINE_MS)]);
      const outcome = await act({ ...world, signal: within }, client, step).then(
        () => "done",
        (error: Error) => {
          note({ round: number, step, failed: codeOf(error), message: error.message });
          if (error instanceof Broken || world.signal.aborted) throw error;
          judge(world, round, step, error);
          return codeOf(error);
        },
      );
      note({ round: number, client: index, step, outcome, ms: Math.round(performance.now() - start) });
    }
  });
  const waking = wakeAgain(world, watcher, round);
  const failed = (await Promise.allSettled([...work, ...strikes])).find(
    ({ status }) => status === "rejected",
  );
  clearInterval(waking);
  if (failed?.status === "rejected") throw failed.reason;
}

/** A command waits while somebody else has its sandbox paused: that ends, some time after the last one did so. */
function wakeAgain({ told }: World, client: Thaw, { clients }: Round): NodeJS.Timeout {
  const paused = clients.flat().filter(({ verb }) => verb === "pause" || verb === "stop");
  const wake = ({ on }: Step): void => {
    const sandbox = told.sandboxes.get(on ?? "");
    if (sandbox?.fate === "lives")
      client.sandboxes
        .at(sandbox.id)
        .resume()
        .catch(() => {});
  };
  return setInterval(() => paused.forEach(wake), WAKE_MS);
}

/** Whether a failure has an explanation. A killed daemon is none: the next one goes on. @throws Broken */
function judge({ told }: World, round: Round, step: Step, error: Error): void {
  const code = codeOf(error);
  const say = `${step.verb} ${step.key} by ${step.by}: ${code}: ${error.message}`;
  if (code === "internal") throw new Broken("no error is internal", say);
  if (code === "TimeoutError") throw new Broken("no request hangs", say);
  if (code === "nothing-there") return;
  const isFull = round.faults.some(({ kind }) => kind === "full-disk");
  if (isFull && ["no-space", ...CONFLICTS].includes(code)) return;
  const hits = (fault: Fault): boolean => "on" in fault && fault.on === step.on;
  const sandbox = told.sandboxes.get(step.on ?? "");
  if (sandbox?.fault != null || round.faults.some(hits)) return;
  if (sandbox?.isStill && ["conflict", "cli"].includes(code)) return;
  const others = round.clients.flat().filter((one) => one.key !== step.key && one.on === step.on);
  const isState = ["pause", "resume", "stop", "extend", "untag", "uncapture"].includes(step.verb);
  if ((others.length > 0 || isState) && step.on !== undefined && CONFLICTS.includes(code)) return;
  throw new Broken("a request is done, or its failure has a cause", say);
}

/** The plan goes on without machines that were killed. */
async function removeHit({ told }: World, client: Thaw, { faults }: Round): Promise<void> {
  for (const fault of faults) {
    if (fault.kind !== "kill-machine" && fault.kind !== "kill-keeper") continue;
    const sandbox = told.sandboxes.get(fault.on);
    if (sandbox === undefined || sandbox.fate === "gone") continue;
    await client.sandboxes
      .at(sandbox.id)
      .remove()
      .catch((error: unknown) => {
        if (codeOf(error) !== "not-found")
          throw new Broken("what has ended can be removed", `${fault.on}: ${error}`);
      });
    sandbox.fate = "gone";
  }
}

/** At the end everything is removed, and then nothing is left. */
async function leaveNothing(world: World, client: Thaw): Promise<void> {
  await client.pools.setMode("off");
  for (const { id } of await client.sandboxes.list()) await client.sandboxes.at(id).remove();
  for (const { id } of (await client.captures.list()).captures) await client.captures.remove(id);
  for (const { ref } of world.told.snapshots.values()) await client.snapshots.remove(ref);
  await checkLeftovers(world, client);
  const left = [...world.home.list("sandboxes"), ...world.home.list("captures")];
  if (left.length > 0) throw new Broken("nothing is left", `at the end: ${left.join(" ")}`);
  await world.home.thaw(["daemon", "stop"]);
  // The kernel ends what ends with the daemon a moment after it.
  const processes = () => world.home.processes();
  await until(() => processes().length === 0, "", ENDED_DEADLINE_MS).catch(() => {
    throw new Broken("nothing is left", `after the daemon: ${JSON.stringify(processes())}`);
  });
}

const options = optionsOrExit(parseOptions, USAGE);
const { seed, rounds, log } = options;
const plan = makePlan(seed, rounds, { fullDisk: process.getuid?.() === 0 });
if (options.plan) {
  for (const round of plan) console.log(JSON.stringify(round));
  process.exit(0);
}
const say = (end: string): void => console.log(`chaos: --seed ${seed} --rounds ${rounds}${end}; ${log}`);
const interrupted = abortedBySignals();
say("");
const start = performance.now();
try {
  await chaos(options, plan, interrupted);
  say(`: every invariant held, ${Math.round((performance.now() - start) / 1000)} s`);
} catch (error) {
  const what = error instanceof Broken ? `BROKEN ${error.message}` : String((error as Error).stack);
  console.error(`chaos: ${what}`);
  say(
    interrupted.aborted
      ? ": interrupted"
      : `: failed after ${Math.round((performance.now() - start) / 1000)} s`,
  );
  process.exitCode = interrupted.aborted ? 130 : 1;
}
