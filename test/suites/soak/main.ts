/**
 * `npm run soak -- --runs N`: one daemon runs one command after another, and what it uses of the host is looked at in between: nothing of it may
 * grow. CONTRIBUTING.md says more.
 */
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Thaw } from "../../../client/index.ts";
import { p95 } from "../../bench/median.ts";
import { rssMibOf } from "../../bench/process-use.ts";
import { abortedBySignals, optionsOrExit } from "../../helpers/by-hand.ts";
import { until } from "../../helpers/processes.ts";
import { openSuiteHome, type SuiteHome } from "../suite-home.ts";
import { growthOf } from "./growth.ts";

const USAGE = `usage: npm run soak -- [--runs N] [--json] [--home DIR]
  --runs N      2000
  --json        print the samples and what grew as JSON lines
  --home DIR    has the template base, or it is built there; default: built into a folder that is removed afterwards`;

const SAMPLES = 30;
/** Each so many runs is one of the command line: a process, its connection, its end. */
const EVERY_CLI = 5;
const ASKED = 20;
/** Files that record what was done: they grow, up to bounds that other tests show. */
const RECORDS = /^(audit|events)\.jsonl|^daemon\.log/;

interface Sample {
  runs: number;
  /** Of the daemon. */
  rssMib: number;
  descriptors: number;
  answerP95Ms: number;
  /** Of the state folder, without records. */
  files: number;
  diskMib: number;
  /** Of the state folder: daemon, keepers, machines, helpers. */
  processes: number;
  cgroups: number;
  runtimes: number;
}

/** How far the line through the samples may rise. What is counted does not grow at all, but the last sandbox may still be going. */
const LIMITS: Readonly<Record<Exclude<keyof Sample, "runs">, number>> = {
  /** A heap of changing size: seen to go up and down by as much. */
  rssMib: 16,
  descriptors: 4,
  answerP95Ms: 50,
  files: 4,
  diskMib: 4,
  processes: 2,
  cgroups: 2,
  runtimes: 2,
};

function parseOptions(): { runs: number; json: boolean; home: string | undefined } {
  const { values } = parseArgs({
    options: {
      ...{ runs: { type: "string", default: "2000" }, home: { type: "string" } },
      ...{ json: { type: "boolean", default: false }, help: { type: "boolean", short: "h" } },
    },
  });
  if (values.help === true) {
    process.stdout.write(`${USAGE}\n`);
    process.exit(0);
  }
  const runs = Number(values.runs);
  if (!Number.isSafeInteger(runs) || runs < SAMPLES) throw new Error(`--runs is ${SAMPLES} or more`);
  return { runs, json: values.json, home: values.home };
}

async function runOnce(home: SuiteHome, client: Thaw, index: number): Promise<void> {
  if (index % EVERY_CLI === 0) {
    const { exitCode, stdout, stderr } = await home.thaw(["run", "--", "echo", `${index}`]);
    if (exitCode !== 0 || stdout !== `${index}\n`)
      throw new Error(`run ${index}: exit ${exitCode}: ${stderr}`);
    return;
  }
  await using sandbox = await client.sandboxes.create();
  const { stdout, exitCode } = await sandbox.exec(["echo", `${index}`]);
  if (exitCode !== 0 || stdout !== `${index}\n`) throw new Error(`run ${index}: exit ${exitCode}`);
}

/** When every sandbox is gone. */
async function sample(home: SuiteHome, client: Thaw, pid: number, runs: number): Promise<Sample> {
  await until(async () => (await client.sandboxes.list()).length === 0, "the sandboxes to go");
  const lasting = ["thaw-daemon", "thaw-starter"];
  const others = () => home.processes().filter(({ name }) => !lasting.includes(name));
  await until(() => others().length === 0, "everything but the daemon and its starter to end");
  const answers: number[] = [];
  for (let n = 0; n < ASKED; n += 1) {
    const start = performance.now();
    await client.host.info();
    answers.push(performance.now() - start);
  }
  const files = readdirSync(home.path, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && !RECORDS.test(entry.name),
  );
  const used = execFileSync("du", ["-sk", "--exclude=*.jsonl*", "--exclude=daemon.log*", home.path], {
    encoding: "utf8",
  });
  return {
    ...{ runs, rssMib: rssMibOf(pid), descriptors: readdirSync(`/proc/${pid}/fd`).length },
    ...{ answerP95Ms: p95(answers), files: files.length, diskMib: Number.parseInt(used, 10) / 1024 },
    processes: home.processes().length,
    ...{ cgroups: home.cgroups().length, runtimes: home.runtimes().length },
  };
}

async function soak(
  { runs, json, home: seed }: ReturnType<typeof parseOptions>,
  signal: AbortSignal,
): Promise<boolean> {
  await using home = await openSuiteHome({ name: "soak", seed });
  const client = home.client();
  const { pid } = await client.host.info();
  const samples: Sample[] = [];
  for (let done = 0; done < runs; done += 1) {
    signal.throwIfAborted();
    await runOnce(home, client, done);
    if (Math.floor((done * SAMPLES) / runs) === Math.floor(((done + 1) * SAMPLES) / runs)) continue;
    const found = await sample(home, client, pid, done + 1);
    samples.push(found);
    if (json) process.stdout.write(`${JSON.stringify(found)}\n`);
    else
      process.stderr.write(
        `soak: ${done + 1} of ${runs} runs, the daemon has ${found.rssMib.toFixed(0)} MiB\n`,
      );
  }
  if ((await client.host.info()).pid !== pid)
    throw new Error("the daemon is another one: it ended on the way");
  const rows = Object.entries(LIMITS).map(([name, limit]) => {
    const values = samples.map((one) => one[name as keyof Sample]);
    const growth = growthOf(values);
    return { name, first: values[0] ?? 0, last: values.at(-1) ?? 0, growth, limit, grows: growth > limit };
  });
  for (const { name, first, last, growth, limit, grows } of rows) {
    const text = [first, last, growth].map((value) => value.toFixed(1).padStart(9)).join(" ");
    if (json) process.stdout.write(`${JSON.stringify({ name, first, last, growth, limit, grows })}\n`);
    else process.stdout.write(`${name.padEnd(12)} ${text}  of ${limit}${grows ? "  GROWS" : ""}\n`);
  }
  return rows.every(({ grows }) => !grows);
}

const options = optionsOrExit(parseOptions, USAGE);
const interrupted = abortedBySignals();
try {
  if (!(await soak(options, interrupted))) process.exitCode = 1;
} catch (error) {
  console.error(`soak: ${(error as Error).stack}`);
  process.exitCode = interrupted.aborted ? 130 : 1;
}
