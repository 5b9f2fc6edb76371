/** What must hold whatever was done: looked at from outside, once the clients are still. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { SandboxInfo, Thaw } from "../../../client/index.ts";
import { until } from "../../helpers/processes.ts";
import type { World } from "./act.ts";
import { Broken, checkContent, SHOW_CONTENT, type Told } from "./told.ts";

const SETTLED = ["running", "paused", "stopped", "failed"];
/** For what never comes. */
const DEADLINE_MS = 90_000;

/** What was verified already: images never change. */
export type Verified = Set<string>;

/** What clients were told is what is listed: once nothing is on its way, and what ended with its client is gone. @throws Broken */
export async function checkListed({ told }: World, client: Thaw): Promise<void> {
  let fault: Broken | undefined;
  const holds = async (): Promise<boolean> => {
    const rows = (await client.sandboxes.list()).map(({ info }) => info);
    fault = findUnsettled(rows) ?? compareRows(told, rows);
    return fault === undefined;
  };
  await until(holds, "", DEADLINE_MS).catch((error: Error) => {
    throw fault ?? error;
  });
}

function findUnsettled(rows: readonly SandboxInfo[]): Broken | undefined {
  const found = rows.find(
    // On a disk that was full they are paused for a while.
    ({ state, reason }) => !SETTLED.includes(state) || /goes on by itself/.test(reason ?? ""),
  );
  if (found === undefined) return undefined;
  const { id, name, state, reason } = found;
  return new Broken("everything comes to rest", `${name} (${id}) is ${state}: ${reason}`);
}

function compareRows(told: Told, rows: readonly SandboxInfo[]): Broken | undefined {
  const strays = new Map(rows.map((row) => [row.id, row]));
  for (const [key, { id, fate, fault, names }] of told.sandboxes) {
    const row = strays.get(id);
    strays.delete(id);
    if (fate === "lives" && row === undefined)
      return new Broken("nothing is lost", `${key} (${id}) is not listed, and nobody removed it`);
    if (fate === "gone" && row !== undefined)
      return new Broken("what is removed is gone", `${key} (${id}) is listed as ${row.state}`);
    if (row === undefined) continue;
    if (!names.has(row.name)) return new Broken("a name is kept", `${key} (${id}) is called ${row.name}`);
    const hasEnded = row.state === "failed" || (row.state === "stopped" && !row.frozen);
    if (hasEnded && fault === null)
      return new Broken("no machine ends by itself", `${key} (${id}) is ${row.state}: ${row.reason}`);
    if (hasEnded && row.reason === null)
      return new Broken("an end has its reason", `${key} (${id}) is ${row.state} after ${fault}`);
  }
  for (const { id, name, state } of strays.values())
    return new Broken("nothing is there that nobody made", `${name} (${id}), ${state}`);
  return undefined;
}

/** Each sandbox answers, and has what was written into it. @throws Broken */
export async function checkContents({ told }: World, client: Thaw): Promise<void> {
  for (const [key, sandbox] of told.sandboxes) {
    const { id, fate, fault, content } = sandbox;
    if (fate !== "lives" || fault !== null) continue;
    const answer = await client.sandboxes
      .at(id)
      .exec(["sh", "-c", SHOW_CONTENT], { signal: AbortSignal.timeout(DEADLINE_MS) })
      .catch((error: Error) => {
        throw new Broken("what lives answers", `${key} (${id}): ${error.message}`);
      });
    sandbox.isStill = false;
    checkContent(`${key} (${id})`, content, answer.stdout);
  }
}

/** Everything that is kept is whole. @throws Broken */
export async function checkImages({ told }: World, client: Thaw, verified: Verified): Promise<void> {
  const { captures, unreadable } = await client.captures.list();
  const snapshots = await client.snapshots.list();
  if (unreadable.length > 0) throw new Broken("captures can be read", JSON.stringify(unreadable));
  for (const [key, { id }] of told.captures)
    if (!captures.some((one) => one.id === id))
      throw new Broken("captures are kept", `${key} (${id}) is gone`);
  for (const [key, { id, ref }] of told.snapshots)
    if (!snapshots.some((one) => one.id === id && one.tags.includes(ref)))
      throw new Broken("snapshots are kept", `${key} (${ref}, ${id}) is gone`);
  const entries = await client.quarantine.list();
  if (entries.length > 0) throw new Broken("all state can be read", JSON.stringify(entries));
  for (const { id } of snapshots) {
    if (verified.has(id)) continue;
    const { ok, parts } = await client.snapshots.verify(id);
    if (!ok) throw new Broken("snapshots verify", `${id}: ${JSON.stringify(parts)}`);
    verified.add(id);
  }
  for (const { id } of captures) {
    if (verified.has(id)) continue;
    const { ok, parts, verified: trial } = await client.captures.verify(id);
    if (!ok) throw new Broken("captures verify", `${id}: ${JSON.stringify({ parts, trial })}`);
    verified.add(id);
  }
}

/** Nothing is left that belongs to nothing. @throws Broken */
export async function checkLeftovers({ home }: World, client: Thaw): Promise<void> {
  let faults: string[] = [];
  const isClean = async (): Promise<boolean> => {
    faults = await findLeftovers(home, client);
    return faults.length === 0;
  };
  await until(isClean, "", DEADLINE_MS).catch((error: Error) => {
    throw new Broken("nothing is left", `${faults.join("; ")} (${error.message})`);
  });
}

async function findLeftovers(home: World["home"], client: Thaw): Promise<string[]> {
  const rows = (await client.sandboxes.list()).map(({ info }) => info);
  const { pools } = await client.pools.list();
  const listed = new Set(rows.map(({ id }) => id));
  const live = new Set(
    rows.filter(({ state }) => state === "running" || state === "paused").map(({ id }) => id),
  );
  const spares = home.list("sandboxes").filter((id) => !listed.has(id));
  const wanted = pools.reduce((sum, { size }) => sum + size, 0);
  const faults: string[] = [];
  const expectKnown = (what: string, ids: readonly (string | undefined)[]): void => {
    const unknown = ids.filter((id) => id === undefined || !(live.has(id) || spares.includes(id)));
    if (unknown.length > 0) faults.push(`${what} of no machine: ${unknown.join(" ")}`);
  };
  if (spares.length > wanted) faults.push(`folders of no sandbox: ${spares.join(" ")}; pools have ${wanted}`);
  const processes = home.processes();
  const machines = processes.filter(({ name }) => name === "thaw-vm" || name === "thaw-keeper");
  const known = ["thaw-vm", "thaw-keeper", "thaw-starter", "thaw-daemon", "thaw-pressure"];
  const others = processes.filter(({ name }) => !known.includes(name));
  const daemons = processes.filter(({ name }) => name === "thaw-daemon");
  if (daemons.length !== 1) faults.push(`${daemons.length} daemons`);
  if (others.length > 0)
    faults.push(`processes: ${others.map(({ name, pid }) => `${name} ${pid}`).join(" ")}`);
  expectKnown(
    "processes",
    machines.map(({ sandbox }) => sandbox),
  );
  expectKnown("cgroups", home.cgroups());
  expectKnown("folders of sockets", home.runtimes());
  for (const id of live)
    if (machines.filter(({ sandbox }) => sandbox === id).length < 2)
      faults.push(`${id} is listed as live and has no machine`);
  const mounts = home.mounts();
  if (mounts.length > 0) faults.push(`mounts: ${mounts.join(" ")}`);
  const { captures } = await client.captures.list();
  const snapshots = await client.snapshots.list();
  const compare = (folder: string, ids: readonly string[]): void => {
    const unknown = home.list(folder).filter((id) => !ids.includes(id));
    if (unknown.length > 0) faults.push(`${folder}: ${unknown.join(" ")}`);
  };
  compare(
    "captures",
    captures.map(({ id }) => id),
  );
  compare(
    "snapshots",
    snapshots.map(({ id }) => id),
  );
  compare(
    "tags",
    snapshots.flatMap(({ tags }) => tags),
  );
  for (const folder of ["builds", "imports"]) compare(folder, []);
  const leftovers = home.leftovers();
  if (leftovers.length > 0) faults.push(`half made: ${leftovers.join(" ")}`);
  return faults;
}

/** The daemon knows all its errors. @throws Broken */
export function checkLog({ home }: World): void {
  const lines = readFileSync(join(home.path, "daemon.log"), "utf8").split("\n");
  const found = lines.find((line) => /unhandled rejection|uncaught|"level":60/i.test(line));
  if (found !== undefined) throw new Broken("the daemon knows its errors", found.slice(0, 1000));
}
