/**
 * The table of what thaw promises about speed, from one run: `npm run bench [-- --only NAME] [--runs N] [--json FILE] [--home DIR]`.
 * Medians and their ratios; a row that misses its target or fails says so, and the exit code is 0 all the same.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { abortedBySignals, optionsOrExit } from "../helpers/by-hand.ts";
import { measureAction } from "./action.ts";
import { measureAdoption } from "./adopt.ts";
import { measureAttach } from "./attach.ts";
import { measureCache } from "./cache.ts";
import { measureCapture } from "./capture.ts";
import { measureChildren } from "./children.ts";
import { measureDashboardAttach, measureDashboardIdle, measureDashboardStart } from "./dashboard.ts";
import { measureDashboardMany } from "./dashboard-many.ts";
import { measureFlood } from "./flood.ts";
import { measureGvisor } from "./gvisor.ts";
import { describeHost, formatHost, type Host } from "./host.ts";
import { measureIdle } from "./idle.ts";
import { measureKeeper } from "./keeper.ts";
import { measureLs } from "./ls.ts";
import { measureBurst, measureHundred, measureMemory } from "./many.ts";
import { measureNetwork } from "./network.ts";
import { measureNpm } from "./npm.ts";
import { measureOci } from "./oci.ts";
import { measureOutput } from "./output.ts";
import { measurePageLoad, measurePageMany } from "./page-load.ts";
import { measurePageReplay } from "./page-replay.ts";
import { measurePageTerminal } from "./page-terminal.ts";
import { measureFork, measureFreeze } from "./pause.ts";
import { measurePool } from "./pool.ts";
import { measureEvents, measureList } from "./records.ts";
import { measureRerun } from "./rerun.ts";
import { type Row, ratioOf, verdictOf } from "./row.ts";
import { measureRun } from "./run.ts";
import { measureSdk } from "./sdk.ts";
import { formatTable } from "./table.ts";
import { measureTemplate } from "./template.ts";
import { measureBoot, measureThaw } from "./thaw.ts";
import { measureWorkspace } from "./workspace.ts";
import { openWorld, removeAll, type World } from "./world.ts";

type Measure = (world: World) => Promise<Row[]>;

const GROUPS: Record<string, Measure | readonly Measure[]> = {
  thaw: measureThaw,
  keeper: measureKeeper,
  boot: measureBoot,
  run: measureRun,
  gvisor: measureGvisor,
  pool: measurePool,
  ls: measureLs,
  sdk: measureSdk,
  action: measureAction,
  burst: measureBurst,
  memory: measureMemory,
  hundred: measureHundred,
  idle: measureIdle,
  flood: measureFlood,
  attach: measureAttach,
  "dashboard-start": measureDashboardStart,
  dashboard: [measureDashboardMany, measureDashboardIdle, measureDashboardAttach],
  page: [measurePageLoad, measurePageMany, measurePageTerminal, measurePageReplay],
  list: measureList,
  events: measureEvents,
  fork: measureFork,
  children: measureChildren,
  freeze: measureFreeze,
  capture: measureCapture,
  rerun: measureRerun,
  adopt: measureAdoption,
  network: measureNetwork,
  npm: (world) => measureNpm(world),
  // Last: what they move leaves a daemon with a larger heap.
  output: measureOutput,
  workspace: measureWorkspace,
  cache: measureCache,
  template: measureTemplate,
  oci: measureOci,
};

const USAGE = `usage: npm run bench -- [--only ${Object.keys(GROUPS).join("|")}]… [--runs N] [--json FILE] [--home DIR]`;

interface Options {
  only: string[];
  runs: number | undefined;
  json: string;
  home: string | undefined;
}

function parseOptions(): Options {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      ...{ only: { ...text, multiple: true }, runs: text, json: text, home: text },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true) {
    process.stdout.write(`${USAGE}\n`);
    process.exit(0);
  }
  const only = values.only ?? Object.keys(GROUPS);
  const unknown = only.filter((name) => !(name in GROUPS));
  const runs = values.runs === undefined ? undefined : Number(values.runs);
  if (unknown.length > 0) throw new Error(`there is no ${unknown.join(", ")}`);
  if (runs !== undefined && !(Number.isInteger(runs) && runs > 0))
    throw new Error(`--runs ${values.runs} is not a count`);
  const json =
    values.json ??
    join("bench-results", `${new Date().toISOString().replaceAll(":", "-").slice(0, 19)}.json`);
  return { only, runs, json, home: values.home };
}

/** Never rejects but when interrupted: what fails is told in its row. */
async function measureGroup(name: string, world: World): Promise<Row[]> {
  process.stderr.write(`bench: ${name}\n`);
  const rows: Row[] = [];
  for (const measure of [GROUPS[name] ?? []].flat()) {
    try {
      rows.push(...(await measure(world)));
    } catch (error) {
      world.signal.throwIfAborted();
      await removeAll(world.client).catch(() => {});
      rows.push({ name, note: `not measured: ${(error as Error).message}` });
    }
  }
  return rows;
}

function writeJson(path: string, host: Host, rows: Row[]): void {
  mkdirSync(dirname(path), { recursive: true });
  const told = rows.map((row) => ({ ...row, ratio: ratioOf(row), verdict: verdictOf(row) }));
  writeFileSync(
    path,
    `${JSON.stringify({ schema: 1, date: new Date().toISOString(), host, rows: told }, null, 2)}\n`,
  );
}

async function bench({ only, runs, json, home }: Options, signal: AbortSignal): Promise<void> {
  await using world = await openWorld({ home, runs, signal });
  const host = await describeHost(world);
  console.log(`${formatHost(host)}\n`);
  const rows: Row[] = [];
  for (const name of only) rows.push(...(await measureGroup(name, world)));
  console.log(formatTable(rows));
  writeJson(json, host, rows);
  console.log(`\n${json}`);
}

const options = optionsOrExit(parseOptions, USAGE);
const interrupted = abortedBySignals();
// Machines don't hold the process that started them; the measurements do.
const held = setInterval(() => {}, 60_000);
try {
  await bench(options, interrupted);
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  clearInterval(held);
}
