/** The dashboard over a thousand sandboxes and five thousand failures, of a host that is made up: keys, bytes, and memory. */
import { join } from "node:path";
import { setTimeout as elapse } from "node:timers/promises";
import { type MadeUpHost, nameOf, openMadeUpHost } from "../helpers/made-up-host.ts";
import { hasCursorOn, openDashboard, SIZE } from "./dashboard.ts";
import { median, p95 } from "./median.ts";
import { rssMibOf } from "./process-use.ts";
import type { Pty } from "./pty.ts";
import { figure, peer, type Row } from "./row.ts";
import type { World } from "./world.ts";

const SANDBOXES = 1000;
const CAPTURES = 5000;
const EVENTS_PER_SECOND = 50;
/** Between keys: not in step with the frames. */
const KEY_PAUSE_MS = { least: 40, most: 120 };
/** Between keys of which bytes are counted: a key that is held down. */
const HELD_MS = 60;
/** What a rested cursor leads to, such as a log, is on the screen by then. */
const SETTLE_MS = 1000;
/** Of the hour's events. */
const PIECES = 60;
const PER_PIECE = (EVENTS_PER_SECOND * 3600) / PIECES;
const PIECE_MS = 600;

export async function measureDashboardMany(world: World): Promise<Row[]> {
  const socket = join(world.scratch, "made-up.sock");
  await using host = await openMadeUpHost({ socket, sandboxes: SANDBOXES, captures: CAPTURES });
  await using dashboard = await openDashboard(world, { THAW_SOCKET: socket });
  await dashboard.until(hasCursorOn(nameOf(0)));
  await dashboard.until(([tabs = ""]) => tabs.includes(`Failures ${CAPTURES}`));
  const cursor = { row: 0 };
  return [
    await measureBytes(world, dashboard, cursor),
    await measureKeys(world, { dashboard, host, cursor }),
    await measureGrowth(world, dashboard, host),
  ];
}

/** @returns milliseconds from the key until the cursor is on the next row */
async function moveDown(dashboard: Pty, cursor: { row: number }): Promise<number> {
  cursor.row += 1;
  const start = performance.now();
  dashboard.write("j");
  return (await dashboard.until(hasCursorOn(nameOf(cursor.row)))) - start;
}

/** Moves through several windows of rows: now and then the list scrolls. */
async function measureBytes(world: World, dashboard: Pty, cursor: { row: number }): Promise<Row> {
  await elapse(SETTLE_MS, undefined, { signal: world.signal });
  const samples: number[] = [];
  for (let moves = world.runs(60); moves > 0; moves--) {
    const before = dashboard.bytes();
    await moveDown(dashboard, cursor);
    await elapse(HELD_MS, undefined, { signal: world.signal });
    samples.push(dashboard.bytes() - before);
  }
  const mean = samples.reduce((sum, bytes) => sum + bytes, 0) / samples.length;
  return {
    name: `dashboard: bytes per cursor move, ${SIZE.cols} × ${SIZE.rows}, mean`,
    ours: figure("B", [mean]),
    target: { of: "ours", bound: "at most", value: 1024 },
    note: `median ${median(samples)}, most ${Math.max(...samples)}`,
  };
}

async function measureKeys(
  world: World,
  { dashboard, host, cursor }: { dashboard: Pty; host: MadeUpHost; cursor: { row: number } },
): Promise<Row> {
  const { signal } = world;
  const samples: number[] = [];
  const events = setInterval(() => void host.change(), 1000 / EVENTS_PER_SECOND);
  try {
    for (let keys = world.runs(200); keys > 0; keys--) {
      const { least, most } = KEY_PAUSE_MS;
      await elapse(least + Math.random() * (most - least), undefined, { signal });
      samples.push(await moveDown(dashboard, cursor));
    }
  } finally {
    clearInterval(events);
  }
  return {
    name: `dashboard: key → frame, ${SANDBOXES} sandboxes, ${EVENTS_PER_SECOND} events/s, p95`,
    ours: figure("ms", [p95(samples)]),
    target: { of: "ours", bound: "at most", value: 40 },
    note: `${CAPTURES} failures beside them; median ${median(samples).toFixed(1)} ms of ${samples.length}`,
  };
}

/** An hour of such events within a minute. Node lets its heap grow to its size in the first twenty minutes of it: the third ten are the measure. */
async function measureGrowth(world: World, dashboard: Pty, host: MadeUpHost): Promise<Row> {
  const samples: number[] = [];
  for (let piece = 0; piece < PIECES; piece++) {
    for (let told = 0; told < PER_PIECE; told++) await host.change();
    await elapse(PIECE_MS, undefined, { signal: world.signal });
    samples.push(rssMibOf(dashboard.pid));
  }
  const tenth = (at: number): number => median(samples.slice(at, at + 10));
  return {
    name: "dashboard: memory after an hour of events (RSS)",
    ours: figure("MiB", samples.slice(-10)),
    against: peer("in its third ten minutes", "MiB", samples.slice(20, 30)),
    target: { of: "ratio", bound: "at most", value: 1.1 },
    note: `${PIECES * PER_PIECE} events; ${tenth(0).toFixed(0)} MiB in the first ten minutes`,
  };
}
