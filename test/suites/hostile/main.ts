/**
 * `npm run hostile`: one guest after another attacks its host, and a table says what the daemon did, what it cost, and how long others
 * waited. CONTRIBUTING.md says more.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { Sandbox, Thaw } from "../../../client/index.ts";
import { p99 } from "../../bench/median.ts";
import { abortedBySignals, optionsOrExit } from "../../helpers/by-hand.ts";
import { openSuiteHome, type SuiteHome } from "../suite-home.ts";
import { ATTACKS, type Attack, SHORT } from "./attacks.ts";

const USAGE = `usage: npm run hostile -- [--only NAME]… [--short] [--seconds N] [--json] [--home DIR]
  --only NAME   an attack, as the table names it; default: all
  --short       only the attacks that no other test has
  --seconds N   how long each lasts; 8, with --short 2
  --json        print JSON lines in place of the table
  --home DIR    has the template base, or it is built there`;

/** What the daemon may grow by while it is attacked: a guest's windows and logs, and a heap that is not collected yet. */
const MAX_GROWTH_MIB = 150;
/**
 * How long a neighbour may wait for its command: a second, on a host that does nothing else. The same is measured without an attack; on a busy
 * host, where that takes long already, so many times as long.
 */
const MAX_WAIT_MS = 1000;
const MAX_SLOWER = 15;
const BETWEEN_MS = 20;
/** A request to the attacker itself is given up after this. */
const POKE_MS = 2000;
const REMOVE_DEADLINE_MS = 60_000;

interface Waits {
  /** The daemon's own answers: what keeps its event loop busy delays them. */
  daemon: number[];
  /** Commands in the neighbour. */
  neighbour: number[];
}

interface Row {
  attack: string;
  /** The sandbox as it was afterwards. */
  outcome: string;
  growthMib: number;
  daemonP99Ms: number;
  daemonMaxMs: number;
  neighbourMaxMs: number;
  /** Bounds that did not hold. */
  broken: string[];
}

interface Options {
  attacks: readonly Attack[];
  seconds: number;
  json: boolean;
  home: string | undefined;
}

function parseOptions(): Options {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const { values } = parseArgs({
    options: {
      ...{ only: { ...text, multiple: true }, seconds: text, home: text, short: flag, json: flag },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true) {
    process.stdout.write(`${USAGE}\n`);
    process.exit(0);
  }
  const names =
    values.only ?? ATTACKS.map(({ name }) => name).filter((name) => !values.short || SHORT.has(name));
  const unknown = names.filter((name) => !ATTACKS.some((attack) => attack.name === name));
  if (unknown.length > 0)
    throw new Error(
      `there is no ${unknown.join(", ")}; there are:\n  ${ATTACKS.map(({ name }) => name).join("\n  ")}`,
    );
  const seconds = Number(values.seconds ?? (values.short ? 2 : 8));
  if (!(seconds > 0)) throw new Error(`--seconds ${values.seconds} is not a time`);
  const attacks = ATTACKS.filter(({ name }) => names.includes(name));
  return { attacks, seconds, json: values.json, home: values.home };
}

/** Asks the daemon and a neighbour, again and again, until it is told to end. */
async function measureWaits(client: Thaw, neighbour: Sandbox, until: AbortSignal): Promise<Waits> {
  const repeat = async (work: () => Promise<unknown>): Promise<number[]> => {
    const found: number[] = [];
    while (!until.aborted) {
      const start = performance.now();
      await work();
      found.push(performance.now() - start);
      await sleep(BETWEEN_MS);
    }
    return found;
  };
  const [daemon, inNeighbour] = await Promise.all([
    repeat(() => client.host.info()),
    repeat(async () => {
      const { stdout } = await neighbour.exec(["echo", "here"]);
      if (stdout !== "here\n") throw new Error(`the neighbour answered ${JSON.stringify(stdout)}`);
    }),
  ]);
  return { daemon, neighbour: inNeighbour };
}

/** What is asked of the attacker while it attacks: each a request that it can lie to. What it answers does not matter, but that it ends. */
async function poke(client: Thaw, { id }: Sandbox, attack: Attack, until: AbortSignal): Promise<void> {
  const target = client.sandboxes.at(id);
  const forks: Sandbox[] = [];
  for (let n = 0; !until.aborted; n += 1) {
    const signal = AbortSignal.any([until, AbortSignal.timeout(POKE_MS)]);
    const asks =
      attack.pokes === "fork"
        ? [
            async () => {
              await target.files.stat("/written", { signal });
              const { sandboxes } = await target.fork(
                {},
                { signal: AbortSignal.timeout(REMOVE_DEADLINE_MS) },
              );
              forks.push(...sandboxes);
            },
          ]
        : [
            () => target.exec(["cat", "/etc/hostname"], { signal }),
            () => target.files.readText("/etc/hostname", { signal }),
            () => target.processes({ signal }),
          ];
    await asks[n % asks.length]?.().catch(() => {});
    if (forks.length > 0) break;
    await sleep(100);
  }
  if (attack.pokes === "fork" && forks.length === 0) throw new Error("it can't be forked");
  for (const fork of forks) {
    // The child's disk is the guest's bytes, whatever they say that they are.
    const { stdout } = await fork.exec(["head", "-c", "3", "/dev/vda"]);
    await fork.remove();
    if (stdout !== "QFI") throw new Error(`a fork has another disk: ${stdout}`);
  }
}

async function measureAttack(
  { home, client, neighbour }: { home: SuiteHome; client: Thaw; neighbour: Sandbox },
  attack: Attack,
  calm: Waits,
  seconds: number,
): Promise<Row> {
  const [pid = 0] = home.daemons();
  const attacker = await client.sandboxes.create({});
  const before = resetPeak(pid);
  const over = new AbortController();
  const work = Promise.all([
    measureWaits(client, neighbour, over.signal),
    attacker
      .startDetached({ argv: [...attack.argv] })
      .then(() => poke(client, attacker, attack, over.signal)),
  ]);
  // What fails early is told below; the attack goes on as long as it is to.
  work.catch(() => {});
  await sleep(seconds * 1000);
  over.abort();
  const broken: string[] = [];
  const waits = await work.then(
    ([found]) => found,
    (error: Error): Waits => {
      broken.push(error.message);
      return { daemon: [], neighbour: [] };
    },
  );
  const growthMib = peakMib(pid) - before;
  const outcome = await client.sandboxes.get(attacker.id).then(
    ({ info }) => (info.reason === null ? info.state : `${info.state}: ${info.reason}`),
    (error: Error) => error.message,
  );
  const removal = client.sandboxes
    .at(attacker.id)
    .remove({ signal: AbortSignal.timeout(REMOVE_DEADLINE_MS) });
  await removal.catch((error: Error) => broken.push(`it can't be removed: ${error.message}`));
  const row: Row = {
    attack: attack.name,
    outcome: outcome.replace(/\s+/g, " ").slice(0, 90),
    growthMib: Math.round(growthMib),
    daemonP99Ms: Math.round(p99(waits.daemon)),
    daemonMaxMs: Math.round(Math.max(0, ...waits.daemon)),
    neighbourMaxMs: Math.round(Math.max(0, ...waits.neighbour)),
    broken,
  };
  if (home.daemons()[0] !== pid) broken.push("the daemon has ended");
  if (row.growthMib > MAX_GROWTH_MIB) broken.push(`the daemon grew by more than ${MAX_GROWTH_MIB} MiB`);
  if (waits.neighbour.length === 0) broken.push("no neighbour answered");
  for (const [who, found, was] of [
    ["the daemon", row.daemonMaxMs, calm.daemon],
    ["a neighbour", row.neighbourMaxMs, calm.neighbour],
  ] as const) {
    const bound = Math.max(MAX_WAIT_MS, MAX_SLOWER * p99(was));
    if (found > bound) broken.push(`${who} answered after ${found} ms; the bound is ${Math.round(bound)} ms`);
  }
  return row;
}

/** Lets the kernel count the highest memory anew. @returns MiB that are there now */
function resetPeak(pid: number): number {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
  } catch {
    // Not allowed: what it had at most since it started counts.
  }
  return statusMib(pid, "VmRSS");
}

const peakMib = (pid: number): number => statusMib(pid, "VmHWM");

function statusMib(pid: number, field: string): number {
  try {
    const text = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)?.[1]) / 1024;
  } catch {
    return Number.NaN;
  }
}

const HEAD = ["attack", "the daemon", "grew MiB", "daemon p99", "max", "neighbour max ms", ""];

function formatRow({
  attack,
  outcome,
  growthMib,
  daemonP99Ms,
  daemonMaxMs,
  neighbourMaxMs,
  broken,
}: Row): string {
  return formatCells([
    attack,
    outcome,
    growthMib,
    daemonP99Ms,
    daemonMaxMs,
    neighbourMaxMs,
    broken.length === 0 ? "ok" : `BROKEN ${broken.join("; ")}`,
  ]);
}

function formatCells(cells: readonly (string | number)[]): string {
  const widths = [44, 92, 8, 10, 6, 16, 0];
  return cells
    .map((cell, index) =>
      typeof cell === "number" ? String(cell).padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0),
    )
    .join("  ")
    .trimEnd();
}

async function hostile(
  { attacks, seconds, json, home: seed }: Options,
  signal: AbortSignal,
): Promise<boolean> {
  await using home = await openSuiteHome({ name: "hostile", seed });
  const client = home.client();
  const neighbour = await client.sandboxes.create({ name: "neighbour" });
  // The first command of a sandbox is slower than the others.
  await neighbour.exec(["true"]);
  const calm = await measureWaits(client, neighbour, AbortSignal.timeout(seconds * 1000));
  const say = (row: Row): void => console.log(json ? JSON.stringify(row) : formatRow(row));
  if (!json) console.log(formatCells(HEAD));
  say({
    ...{ attack: "(none)", outcome: "", growthMib: 0, broken: [] },
    ...{ daemonP99Ms: Math.round(p99(calm.daemon)), daemonMaxMs: Math.round(Math.max(...calm.daemon)) },
    neighbourMaxMs: Math.round(Math.max(...calm.neighbour)),
  });
  let holds = true;
  for (const attack of attacks) {
    signal.throwIfAborted();
    const row = await measureAttack({ home, client, neighbour }, attack, calm, seconds);
    say(row);
    holds &&= row.broken.length === 0;
  }
  return holds;
}

const options = optionsOrExit(parseOptions, USAGE);
const interrupted = abortedBySignals();
try {
  if (!(await hostile(options, interrupted))) process.exitCode = 1;
} catch (error) {
  console.error(`hostile: ${(error as Error).stack}`);
  process.exitCode = interrupted.aborted ? 130 : 1;
}
