/** One sandbox of an earlier daemon: its record is read before anything is answered, its machine is asked behind that. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { hostNetwork } from "../network/host.ts";
import type { Parts } from "../parts.ts";
import { recordPath } from "../sandboxes/dir.ts";
import { placeOf } from "../sandboxes/place.ts";
import { sandboxKind } from "../sandboxes/record.ts";
import { Sandbox } from "../sandboxes/sandbox.ts";
import { readRecordNow } from "../state/record.ts";
import { watch } from "../verbs/watch.ts";

/** Work to be done on a sandbox once the daemon answers. */
export type Later = () => Promise<void>;

/**
 * Lists the sandbox and reserves its name. One that nobody can come back for is ended instead.
 * @param clientsGone the daemon was away for longer than clients try to come back
 * @returns what is left to do
 */
export async function readSandbox(parts: Parts, id: string, clientsGone: boolean): Promise<Later> {
  const { home, runner, captures, admission, leases, quarantine } = parts;
  const dir = join(home.sandboxes, id);
  const path = recordPath(dir);
  const read = readRecordNow(path, sandboxKind);
  if (read.state === "unreadable") {
    // Its machine may run, and uses paths in the folder: everything stays as it is.
    quarantine.mark({ kind: "sandbox", what: id, path, reason: read.reason });
    return async () => {};
  }
  if (read.state === "absent") return () => clearSandbox(parts, id);
  const record = read.value;
  const sandbox = new Sandbox(
    dir,
    record,
    runner.names.includes(record.runner) ? runner.of(record.runner) : runner,
    {
      capturer: captures,
      hostNetwork: hostNetwork(parts.config),
      hostSockets: parts.hostSockets,
    },
  );
  const list = (): void => {
    if (record.state === "removed") record.state = "removing";
    watch(parts, sandbox);
    admission.adopt(id, sandbox.takesMachine ? record.resources.memoryMib : 0);
  };
  const awaited = record.leased || record.request?.answered === false;
  // Half made, or nobody's: not worth a line unless its machine does not die.
  const needed = !record.temporary && (!(awaited && clientsGone) || record.keep);
  if (record.state === "creating" || record.state === "removed" || !needed)
    return () =>
      clearSandbox(parts, id).catch(async () => {
        list();
        await sandbox.remove();
      });
  if (parts.registry.isTaken(record.name)) {
    // The name was free while the record could not be read.
    quarantine.mark({
      ...{ kind: "sandbox", what: id, path, reason: `has the name of another sandbox, ${record.name}` },
      hint: `thaw rm ${record.name}, then: thaw quarantine restore ${id}; or remove this one: thaw rm ${id}`,
    });
    return async () => {};
  }
  list();
  if (record.state === "removing") return () => sandbox.remove();
  await sandbox.restore().catch((error: Error) => {
    record.reason = `not all of its commands could be read back: ${error.message}`;
  });
  for (const suspect of sandbox.unreadableExecs) quarantine.mark(suspect);
  if (awaited) leases.awaitReturn(id);
  // Its command may have ended, which a full disk or a kill kept the daemon before from noting, or ends before its client is back.
  const keepOnceEnded = (): void => {
    const execs = [...sandbox.execs.values()];
    if (!record.leased || !record.keep || execs.length === 0 || !execs.every(({ isOver }) => isOver)) return;
    record.leased = false;
    leases.forget(id);
    void sandbox.persistSoon().catch(() => {});
  };
  sandbox.on("execEnded", keepOnceEnded);
  return async () => {
    await sandbox.adopt();
    keepOnceEnded();
    await sandbox.persistSoon();
  };
}

/** A sandbox whose record was mended. */
export async function readAgain(parts: Parts, id: string): Promise<void> {
  const later = await readSandbox(parts, id, false);
  const sandbox = parts.registry.present.find((one) => one.id === id);
  await sandbox?.forwards.restore(sandbox.record.forwards);
  await later();
}

/** Ends a machine that nobody needs, and removes its sandbox's folder. */
export async function clearSandbox({ home, runner }: Parts, id: string): Promise<void> {
  const dir = join(home.sandboxes, id);
  await runner.clear(await placeOf(id, dir));
  await rm(dir, { recursive: true, force: true });
}
