/** `thaw top` without a sandbox: what each sandbox and the host use, live. */
import { type StatsSample, type Thaw, ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals, Interrupted } from "../exec-io/signals.ts";
import { formatAge } from "../format/age.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";
import { drawFrame } from "./draw-frame.ts";

/** Flags of `thaw top` without a sandbox. */
export interface UsageFlags {
  sort?: SortBy;
  /** False: once. */
  stream: boolean;
  json?: boolean;
}

type SortBy = "cpu" | "memory" | "name";
type Row = StatsSample["sandboxes"][number];

const INTERVAL_MS = 2000;
/** Of one sample: the shortest that the daemon takes. */
const ONCE_MS = 1000;
const NOT_MEASURED = -1;

const orders: Record<SortBy, (a: Row, b: Row) => number> = {
  cpu: (a, b) => (b.cpuPercent ?? NOT_MEASURED) - (a.cpuPercent ?? NOT_MEASURED),
  memory: (a, b) => b.pssBytes - a.pssBytes,
  name: () => 0,
};

/** A line of the host, and a row for each sandbox. */
export function formatUsage({ time, host, sandboxes }: StatsSample, sort: SortBy): string {
  const cells = [...sandboxes]
    .sort((a, b) => orders[sort](a, b) || a.name.localeCompare(b.name))
    .map(({ name, state, cpuPercent, pssBytes, cpuMs, createdAt }) => [
      ...[name, state, cpuPercent === null ? "" : `${cpuPercent.toFixed(0)}%`, formatSize(pssBytes)],
      ...[`${(cpuMs / 1000).toFixed(1)}s`, formatAge(createdAt, Date.parse(time))],
    ]);
  const cpu = sandboxes.reduce((sum, { cpuPercent }) => sum + (cpuPercent ?? 0), 0);
  const memory = sandboxes.reduce((sum, { pssBytes }) => sum + pssBytes, 0);
  const available = formatSize(host.availableMib * 2 ** 20);
  const counted = `${sandboxes.length} ${sandboxes.length === 1 ? "sandbox" : "sandboxes"}`;
  const processors = `${host.cpus} ${host.cpus === 1 ? "processor" : "processors"}`;
  return (
    `${counted}: ${cpu.toFixed(0)}% CPU, ${formatSize(memory)}; ` +
    `host: ${processors}, ${available} of ${formatSize(host.memoryMib * 2 ** 20)} available\n` +
    formatTable(["NAME", "STATE", "CPU", "MEMORY", "CPU TIME", "CREATED"], cells)
  );
}

/** CPU since somebody last asked, which may be long ago, is not told. */
function withoutCpu(sample: StatsSample): StatsSample {
  return { ...sample, sandboxes: sample.sandboxes.map((one) => ({ ...one, cpuPercent: null })) };
}

/** The second of two samples: it has the CPU of the time in between. */
async function sampleOnce(client: Thaw, signal: AbortSignal): Promise<StatsSample> {
  let samples = 0;
  for await (const sample of client.stats({ follow: true, intervalMs: ONCE_MS, signal })) {
    samples += 1;
    if (samples === 2 || sample.sandboxes.length === 0) return sample;
  }
  throw new ThawError("daemon-unreachable", "the daemon sent no figures");
}

async function drawAgain(client: Thaw, sort: SortBy, signal: AbortSignal): Promise<void> {
  let shown = "";
  let drawnLines = 0;
  const draw = (text: string): void => {
    const { columns = 80, rows = 24 } = process.stdout;
    const frame = drawFrame(text, { columns, rows, drawnLines });
    drawnLines = frame.lines;
    writeOut(frame.text);
    shown = text;
  };
  // Lines that a narrower terminal has wrapped can't be counted: it begins with an empty screen.
  const resized = (): void => {
    drawnLines = Number.POSITIVE_INFINITY;
    draw(shown);
  };
  process.stdout.on("resize", resized);
  try {
    for await (const sample of client.stats({ follow: true, intervalMs: INTERVAL_MS, signal }))
      draw(formatUsage(shown === "" ? withoutCpu(sample) : sample, sort));
  } finally {
    process.stdout.removeListener("resize", resized);
    writeOut("\n");
  }
}

/** `thaw top` without a sandbox. @returns 0; 130 when interrupted. */
export async function showUsage({ sort = "cpu", stream, json = false }: UsageFlags): Promise<number> {
  const live = stream && !json && process.stdout.isTTY === true && process.env.TERM !== "dumb";
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  return withClient(async (client) => {
    try {
      if (live) await drawAgain(client, sort, signal);
      else {
        const sample = await sampleOnce(client, signal);
        if (json) printJson(sample);
        else writeOut(formatUsage(sample, sort));
      }
      return 0;
    } catch (error) {
      // What was asked for has been shown: nothing failed.
      if (error instanceof Interrupted && live) return error.exitCode;
      throw error;
    }
  });
}
