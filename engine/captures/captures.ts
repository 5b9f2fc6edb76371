/**
 * Captures: the machine is frozen as it is when something fails, in tens of milliseconds; storing what was frozen goes on behind that, and
 * after it a trial thaw tells whether it can be replayed. A daemon killed in between leaves a draft, which the next one finishes.
 */

import { copyFile, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { type CaseFile, caseFile } from "../../api/case-file.ts";
import type { EventDetails } from "../../api/event.ts";
import { MAX_LAST_LINES } from "../../api/last-lines.ts";
import { CAPTURE_PARTS } from "../../api/travel.ts";
import { isNoSpace } from "../as-engine-error.ts";
import { Gate } from "../concurrency.ts";
import { EngineError } from "../errors.ts";
import type { Ending } from "../execs/ending.ts";
import type { Exec } from "../execs/exec.ts";
import type { PendingCapture, Taken } from "../execs/taken.ts";
import type { Holds } from "../holds.ts";
import { Retry } from "../retry.ts";
import type { Cause } from "../sandboxes/capturer.ts";
import { differenceVerdict, freezeSandbox, type LiveContext } from "../sandboxes/freeze.ts";
import type { Subject } from "../sandboxes/subject.ts";
import { secretsKind } from "../secrets/sealed.ts";
import { IMPORTED_FILE, markImported } from "../snapshots/store.ts";
import { ASKED_FILE, writeAsked } from "../state/asked.ts";
import { completeEntries } from "../state/entries.ts";
import type { Quarantine } from "../state/quarantine.ts";
import { readRecord, valueOrNull, writeRecord } from "../state/record.ts";
import { type Attributes, part, traced } from "../tracing.ts";
import { type CaptureManifest, type CapturePart, captureManifest, caseKind } from "./case-file.ts";
import { type CheckContext, LEFT_OUT } from "./check.ts";
import { readCore } from "./core.ts";
import { CaptureFiles } from "./files.ts";
import { fingerprint } from "./fingerprint.ts";
import { lastLines } from "./last-lines.ts";
import { compressPart, describePart } from "./parts.ts";
import { Scans } from "./scans.ts";
import { CaptureStore, SECRETS_FILE, type StoredCapture } from "./store.ts";
import { greet, withMachine } from "./trial.ts";
import { linkCheckpoint, linkWorkspace, makeCheckpointDir, readWorkspace } from "./workspace.ts";
import { diskAge, writeOut } from "./write-out.ts";

/** The case as it was frozen; in a draft, where it says that the freeze is whole. */
const TAKEN_FILE = "taken.json";
const STORED_DIR = "stored";
/** Compression on a host of few cores; machines come first. */
const STORES_AT_ONCE = 2;

export interface CaptureContext extends LiveContext, CheckContext {
  quarantine: Quarantine;
  holds: Holds;
  /** The bundle of the process that scans for secrets. */
  scanPath: string;
  tell<T extends "capture.created" | "capture.failed" | "capture.verified" | "capture.scanned">(
    type: T,
    id: string,
    details: EventDetails<T>,
  ): void;
}

export class Captures {
  readonly store: CaptureStore;
  readonly files: CaptureFiles;
  readonly scans: Scans;
  readonly #context: CaptureContext;
  readonly #storing = new Gate(STORES_AT_ONCE);
  readonly #trials = new Gate(1);
  readonly #leaving = new AbortController();
  /** Ids of drafts that are stored when there is room, with what holds their bases. */
  readonly #waiting = new Map<string, Disposable>();
  readonly #retry = new Retry(() => this.#storeWaiting());
  readonly #trying = new Set<string>();
  /** By exec: taken by an earlier daemon, which ended before it could note so. */
  readonly #inherited = new Map<string, Taken>();

  constructor(context: CaptureContext) {
    this.#context = context;
    this.store = new CaptureStore(context.home, context.quarantine, (bytes) => context.needDisk(bytes));
    this.store.onRead = () => this.#storeWaiting();
    context.quarantine.own("draft", { readAgain: async ({ what }) => void this.#storeLater(what) });
    this.files = new CaptureFiles(context, this.store);
    this.scans = new Scans(context, this.store, this.#leaving.signal);
  }

  /** Finishes what an earlier daemon had frozen and not stored; removes what it had not frozen. */
  async recover(): Promise<void> {
    for (const id of await this.store.drafts()) {
      const draft = this.store.draftDir(id);
      const read = await readRecord(join(draft, TAKEN_FILE), caseKind);
      const published = (await completeEntries(this.#context.home.captures)).includes(id);
      if (read.state === "absent" || published) {
        await rm(draft, { recursive: true, force: true });
        continue;
      }
      if (read.state === "unreadable") {
        await this.#setAside(id, `${TAKEN_FILE} ${read.reason}`);
        continue;
      }
      const file = read.value;
      if (file.exec) this.#inherited.set(file.exec.id, takenOf(file));
      void this.#storeLater(id);
    }
    this.#verifyRest().catch(() => {});
  }

  /** A draft is all there is of a failure: it is kept, named, and stored when it is restored. */
  async #setAside(id: string, reason: string): Promise<void> {
    const path = this.store.draftDir(id);
    await this.#context.quarantine.setAside({ kind: "draft", what: id, path, reason });
    this.#context.tell("capture.failed", id, { reason });
  }

  /** The daemon leaves; the next one goes on. */
  async close(): Promise<void> {
    this.#leaving.abort();
    this.#retry.stop();
    await this.files.close();
  }

  /** Finds out ahead of need whether this host can take differences. */
  prepare(sandbox: Subject): void {
    void differenceVerdict(this.#context, sandbox, quietly()).catch(() => {});
  }

  /** As `take`, but nothing is stored before it is confirmed, with how the exec then ended. */
  takeProvisional(sandbox: Subject, cause: Cause): Promise<PendingCapture> {
    const attributes = { "thaw.sandbox": sandbox.record.id, "thaw.trigger": cause.ending.trigger };
    return traced("capture", () => this.#takeProvisional(sandbox, cause), { attributes });
  }

  async #takeProvisional(sandbox: Subject, cause: Cause): Promise<PendingCapture> {
    const { file, dir } = await this.#freeze(sandbox, cause);
    return {
      confirm: async (ending) => {
        const { trigger, exit } = ending;
        const lines = cause.exec === null ? [] : await lastLines(cause.exec.log, MAX_LAST_LINES);
        const exec = file.exec && {
          ...file.exec,
          exit,
          lastLines: lines,
          durationMs: exit?.durationMs ?? file.exec.durationMs,
        };
        const shape = {
          trigger,
          argv: exec?.argv ?? [],
          code: exit?.code ?? null,
          signal: exit?.signal ?? null,
          lines,
        };
        const of = fingerprint(shape);
        try {
          sandbox.rejectDuplicate?.(of);
        } catch (error) {
          await rm(dir, { recursive: true, force: true });
          throw error;
        }
        return this.#keep(dir, { ...file, trigger, exec, fingerprint: of });
      },
      discard: () => rm(dir, { recursive: true, force: true }),
    };
  }

  /** Keeps the machine as it is before a command, in its sandbox's folder. Throws `unsupported` where this host can't take differences. */
  async checkpoint(sandbox: Subject): Promise<void> {
    const verdict = await differenceVerdict(this.#context, sandbox, quietly());
    if (verdict.state !== "works")
      throw new EngineError("unsupported", `this host can't make checkpoints: ${verdict.reason}`, {
        hint: "thaw doctor",
      });
    const dir = await makeCheckpointDir(sandbox.dir);
    await this.#context.admission.withHelper(() =>
      sandbox.takeDifference(dir, { signal: this.#leaving.signal }),
    );
  }

  /** Tells failures of one cause from others. */
  async fingerprintOf(exec: Exec, { trigger, exit }: Ending): Promise<string> {
    const lines = await lastLines(exec.log, MAX_LAST_LINES);
    const { argv } = exec.record;
    return fingerprint({ trigger, argv, code: exit?.code ?? null, signal: exit?.signal ?? null, lines });
  }

  /** Freezes. The machine stands still for some ten milliseconds and is then as before. What is left to do goes on behind it. */
  take(sandbox: Subject, cause: Cause): Promise<Taken> {
    const attributes = { "thaw.sandbox": sandbox.record.id, "thaw.trigger": cause.ending.trigger };
    return traced("capture", () => this.#take(sandbox, cause), { attributes, told: describeTaken });
  }

  async #take(sandbox: Subject, cause: Cause): Promise<Taken> {
    const { exec, ending } = cause;
    const known = this.#inherited.get(exec?.record.id ?? "");
    if (known) return known;
    if (exec && sandbox.rejectDuplicate) sandbox.rejectDuplicate(await this.fingerprintOf(exec, ending));
    const { file, dir } = await this.#freeze(sandbox, cause);
    if (cause.signal?.aborted) {
      await this.#discard(dir, file.base.snapshot, sandbox);
      cause.signal.throwIfAborted();
    }
    return this.#keep(dir, file);
  }

  async #freeze(sandbox: Subject, cause: Cause): Promise<{ file: CaseFile; dir: string }> {
    await this.#context.needDisk();
    const failed = cause.ending.trigger !== "manual" && cause.ending.exit?.code !== 0;
    const { id, dir } = await this.store.draft(failed ? "fail" : "capture");
    try {
      const { trigger } = cause.ending;
      const writing = writeOut(sandbox, trigger);
      const looking = trigger === "panic" ? nobodyAnswers : sandbox.inspectGuest();
      const asked = Promise.all([looking, writing]);
      const verdict = await differenceVerdict(this.#context, sandbox, quietly());
      const frozen =
        verdict.state === "works"
          ? await part("difference", () => this.#difference(sandbox, dir, asked))
          : await asked.then(() => this.#whole(sandbox));
      const [inside, writtenOut] = await asked;
      const file = await this.#describe(id, sandbox, cause, { ...frozen, ...inside, writtenOut });
      await this.#keepRequest(dir, sandbox, cause.exec);
      if (cause.request !== undefined) await writeAsked(dir, { request: cause.request });
      const { secrets } = sandbox.record;
      if (secrets !== null)
        await writeRecord(join(dir, SECRETS_FILE), secretsKind, secrets, { survives: "power-loss" });
      return { file, dir };
    } catch (error) {
      await rm(dir, { recursive: true, force: true });
      throw error;
    }
  }

  /** From here on it is a capture, whatever becomes of this process. */
  async #keep(dir: string, file: CaseFile): Promise<Taken> {
    await writeRecord(join(dir, TAKEN_FILE), caseKind, file, { survives: "power-loss" });
    void this.#storeLater(file.id);
    return takenOf(file);
  }

  /** Throws away what was frozen, with the snapshot that was made for it where no difference can be taken. */
  async #discard(dir: string, base: string, sandbox: Subject): Promise<void> {
    await rm(dir, { recursive: true, force: true });
    if (base !== sandbox.record.snapshot) await this.#context.store.remove(base);
  }

  /** A trial thaw: whether the machine goes on, and how long that takes. The result is kept beside the capture. */
  async verify(capture: StoredCapture, signal: AbortSignal): Promise<void> {
    const at = new Date().toISOString();
    const tell = (details: EventDetails<"capture.verified">) =>
      this.#context.tell("capture.verified", capture.id, details);
    const { resumes, memory } = capture.manifest;
    if (!resumes || memory === "none") {
      const reason = resumes
        ? LEFT_OUT
        : "its kernel panicked: its disk can be booted, its memory can only be inspected";
      await this.store.note(capture.id, { verified: { ok: false, reason, at } });
      return tell({ ok: false, reason });
    }
    await this.#trials.run(async () => {
      try {
        const started = performance.now();
        const trial = { capture, paused: false, signal };
        await withMachine(this.#context, this.store, trial, async (machine) =>
          (await greet(machine, signal)).close(),
        );
        const resumeMs = performance.now() - started;
        await this.store.note(capture.id, { verified: { ok: true, resumeMs, at } });
        tell({ ok: true, resumeMs });
      } catch (error) {
        if (signal.aborted) return;
        const reason = (error as Error).message;
        await this.store.note(capture.id, { verified: { ok: false, reason, at } }).catch(() => {});
        tell({ ok: false, reason });
      }
    });
  }

  /** Those that an earlier daemon had not come to. */
  async #verifyRest(): Promise<void> {
    for (const capture of await this.store.list())
      if (!this.#leaving.signal.aborted && (await this.store.notes(capture.id)).verified === null)
        await this.verify(capture, this.#leaving.signal);
  }

  /** Calls `take` with the bytes of a core file. Throws `unsupported` for a capture that has none. */
  async readCore(
    capture: StoredCapture,
    options: { take: (bytes: AsyncIterable<Buffer>) => Promise<void>; signal: AbortSignal },
  ): Promise<void> {
    if (capture.manifest.memory === "none")
      throw new EngineError("unsupported", `${capture.id} has no core: ${LEFT_OUT}`);
    await this.#trials.run(() => readCore(this.#context, this.store, capture, options));
  }

  /** @param after what the guest has to answer before it is stopped */
  async #difference(sandbox: Subject, dir: string, after: Promise<unknown>): Promise<Frozen> {
    const difference = await this.#context.admission.withHelper(() =>
      sandbox.takeDifference(dir, { signal: this.#leaving.signal, after }),
    );
    if (difference.imported === true) await markImported(dir);
    const sizes = await Promise.all(
      difference.layers.map(async (layer) => (await stat(join(dir, layer))).blocks * 512),
    );
    return {
      base: sandbox.record.snapshot,
      build: difference.build,
      pauseMs: difference.pauseMs,
      changedBytes: { memory: difference.copiedBytes, disk: sizes.reduce((sum, size) => sum + size, 0) },
    };
  }

  /** Where differences don't work: a snapshot of its own, which the capture is then based on. */
  async #whole(sandbox: Subject): Promise<Frozen> {
    const frozen = await freezeSandbox(this.#context, sandbox, quietly());
    return {
      ...{ base: frozen.snapshot.id, build: null, pauseMs: frozen.pauseMs },
      changedBytes: { memory: 0, disk: 0 },
    };
  }

  async #describe(
    id: string,
    sandbox: Subject,
    { ending, exec, crash = null, console = [] }: Cause,
    found: Frozen & Pick<CaseFile, "processes" | "listening"> & { writtenOut: boolean },
  ): Promise<CaseFile> {
    const { record } = sandbox;
    const { base, build, pauseMs, changedBytes, listening, writtenOut } = found;
    const hide = (text: string): string => sandbox.hide(text);
    const processes = found.processes.map((one) => ({ ...one, command: hide(one.command) }));
    const { manifest } = await this.#context.store.get(base);
    const from =
      base === record.snapshot ? manifest : (await this.#context.store.get(record.snapshot)).manifest;
    const lines = exec === null ? [] : await lastLines(exec.log, MAX_LAST_LINES);
    const shape = {
      trigger: ending.trigger,
      argv: exec?.record.argv ?? [],
      code: ending.exit?.code ?? null,
      signal: ending.exit?.signal ?? crash?.signal ?? null,
      lines: exec === null ? console.map(hide) : lines,
    };
    return caseFile.parse({
      schema: 1,
      id,
      createdAt: new Date().toISOString(),
      host: hostname(),
      sandbox: { id: record.id, name: record.name, labels: record.labels },
      base: { from: record.from, snapshot: base, digest: await this.#context.store.digest(base) },
      resources: record.resources,
      needs: { ...manifest.needs, build: build ?? manifest.needs.build },
      isolation: sandbox.isolation,
      trigger: ending.trigger,
      exec: exec === null ? null : describeExec(exec, ending, lines, record.defaults),
      crash,
      console: console.map(hide),
      before: exec === null ? "unknown" : await beforeOf(sandbox, exec),
      workspace: valueOrNull(await readWorkspace(sandbox.dir)),
      processes,
      listening,
      egress: destinationsOf(sandbox),
      ci: exec?.record.ci ?? null,
      changedBytes,
      pauseMs,
      fingerprint: fingerprint(shape),
      disk: diskAge(sandbox, { writtenOut, manifest: from }),
    } satisfies CaseFile);
  }

  async #keepRequest(dir: string, sandbox: Subject, exec: Exec | null): Promise<void> {
    const request = await exec?.request();
    if (!exec || !request) return;
    const { defaults } = sandbox.record;
    const whole = { ...request, env: { ...defaults.env, ...request.env } };
    await writeFile(join(dir, "request.json"), `${JSON.stringify(whole)}\n`, { mode: 0o600 });
    const before = await beforeOf(sandbox, exec);
    if (before === "workspace") await linkWorkspace(sandbox.dir, join(dir, "workspace"));
    if (before === "checkpoint") await linkCheckpoint(sandbox.dir, dir);
  }

  /** @returns whether nothing is left to do: it is stored, or can't be. Never rejects. */
  async #storeLater(id: string): Promise<boolean> {
    const work = this.store.whileStoring(this.#storing.run(() => part("store", () => this.#store(id))));
    try {
      const capture = await work;
      this.#waits(id, null);
      void this.#look(capture);
      return true;
    } catch (error) {
      if (this.#leaving.signal.aborted) return true;
      const reason = `could not be stored: ${(error as Error).message}`;
      if (!isNoSpace(error)) {
        this.#waits(id, null);
        await this.#setAside(id, reason).catch(() => {});
        return true;
      }
      await rm(join(this.store.draftDir(id), STORED_DIR), { recursive: true, force: true });
      // Its client was told that the failure is kept, and what was frozen is all there is of it.
      if (!this.#waiting.has(id))
        this.#context.tell("capture.failed", id, {
          reason: `${reason}; it is tried again when there is room`,
        });
      if (!this.#waiting.has(id)) this.#waits(id, await this.#holdBase(id));
      this.#retry.start();
      return false;
    }
  }

  /** @param hold of what it is based on; null: it waits no longer */
  #waits(id: string, hold: Disposable | null): void {
    this.#waiting.get(id)?.[Symbol.dispose]();
    if (hold === null) this.#waiting.delete(id);
    else this.#waiting.set(id, hold);
  }

  /** What a draft is based on is not pruned. */
  async #holdBase(id: string): Promise<Disposable> {
    const taken = valueOrNull(await readRecord(join(this.store.draftDir(id), TAKEN_FILE), caseKind));
    return this.#context.holds.take(taken?.base.snapshot ?? id);
  }

  /** At what is new: whether it resumes, and what secrets are in it. */
  async #look(capture: StoredCapture): Promise<void> {
    try {
      await part("verify", () => this.verify(capture, this.#leaving.signal));
      await this.scans.of(capture);
    } catch {
      // The next daemon does what is left of it.
    }
  }

  /** Stores what a full disk has refused. @returns whether nothing waits for room any more */
  async #storeWaiting(): Promise<boolean> {
    if (this.#waiting.size === 0) return true;
    try {
      await this.#context.needDisk();
    } catch {
      return false;
    }
    const ids = [...this.#waiting.keys()].filter((id) => !this.#trying.has(id));
    const done = ids.map(async (id) => {
      this.#trying.add(id);
      return this.#storeLater(id).finally(() => this.#trying.delete(id));
    });
    return (await Promise.all(done)).every(Boolean);
  }

  /** From a draft to a capture. What it was made of goes. */
  async #store(id: string): Promise<StoredCapture> {
    const started = performance.now();
    const draft = this.store.draftDir(id);
    const stored = join(draft, STORED_DIR);
    const { signal } = this.#leaving;
    await rm(stored, { recursive: true, force: true });
    await mkdir(stored);
    const file = caseFile.parse(JSON.parse(await readFile(join(draft, TAKEN_FILE), "utf8")));
    const { id: _id, ...rest } = file;
    await writeFile(join(stored, "case.json"), `${JSON.stringify({ id: _id, ...rest }, null, 2)}\n`, {
      mode: 0o444,
    });
    for (const name of [SECRETS_FILE, ASKED_FILE, IMPORTED_FILE])
      if (await exists(join(draft, name))) await copyFile(join(draft, name), join(stored, name));
    const parts: CapturePart[] = [];
    for (const name of CAPTURE_PARTS) {
      const raw = join(draft, name.endsWith(".zst") ? name.slice(0, -".zst".length) : name);
      const target = join(stored, name);
      if (name === "request.json" && (await exists(raw)))
        await writeFile(target, await readFile(raw), { mode: 0o400 });
      else if (name.endsWith(".zst") && (await exists(raw))) {
        parts.push({ name, ...(await compressPart(raw, target, signal)) });
        continue;
      } else if (name !== "case.json") continue;
      parts.push({ name, ...(await describePart(target, signal)) });
    }
    const manifest: CaptureManifest = captureManifest.parse({
      schema: 1,
      kind: "capture",
      id,
      createdAt: file.createdAt,
      base: { snapshot: file.base.snapshot, digest: file.base.digest },
      resources: file.resources,
      needs: file.needs,
      memory: parts.some(({ name }) => name === "devices.zst") ? "difference" : "whole",
      resumes: file.trigger !== "panic",
      parts,
    });
    const capture = await this.store.publish(stored, manifest);
    await rm(draft, { recursive: true, force: true });
    const storedBytes = parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.#context.tell("capture.created", id, {
      trigger: file.trigger,
      exec: file.exec?.id ?? null,
      ...{ storedBytes, pauseMs: file.pauseMs, storeMs: performance.now() - started },
    });
    return capture;
  }
}

/** At most as many as a case file takes. */
function destinationsOf({ network }: Subject): CaseFile["egress"] {
  return network.log.summary.map(({ destination, port, verdict, count }) => ({
    destination: `${destination}:${port}`,
    allowed: verdict !== "denied",
    count,
  }));
}

function takenOf({ id, changedBytes, pauseMs, fingerprint: of }: CaseFile): Taken {
  return { id, changedBytes: changedBytes.memory + changedBytes.disk, pauseMs, fingerprint: of };
}

function describeTaken({ id, changedBytes, pauseMs }: Taken): Attributes {
  return { "thaw.capture": id, "thaw.changed_bytes": changedBytes, "thaw.pause_ms": pauseMs };
}

interface Frozen {
  base: string;
  /** QEMU build (or the like) that took the difference, and alone can resume it; null: none was taken. */
  build: string | null;
  pauseMs: number;
  changedBytes: CaseFile["changedBytes"];
}

/** Where the command can be run again from. What ran beside it or before it is not part of its base. */
async function beforeOf(sandbox: Subject, { record }: Exec): Promise<CaseFile["before"]> {
  if (record.checkpoint) return "checkpoint";
  // Its cached folders are no part of its base.
  if (sandbox.execs.size > 1 || sandbox.record.derived || sandbox.record.cache !== null) return "unknown";
  const workspace = await readWorkspace(sandbox.dir);
  return workspace.state === "ok" ? "workspace" : workspace.state === "absent" ? "base" : "unknown";
}

function describeExec(
  { record }: Exec,
  { exit }: Ending,
  lines: string[],
  defaults: { workdir: string; user: string },
): CaseFile["exec"] {
  const { id, argv, cwd, user, tty, envNames, masked, startedAt } = record;
  return {
    ...{ id, argv, tty, envNames, masked, startedAt, exit },
    cwd: cwd ?? defaults.workdir,
    user: user ?? defaults.user,
    durationMs: exit?.durationMs ?? Date.now() - Date.parse(startedAt),
    lastLines: lines,
  };
}

/** Of a guest whose kernel panicked. */
const nobodyAnswers = Promise.resolve({ processes: [], listening: [] });

/** Nobody listens, and it is not interrupted: what is frozen is frozen within seconds. */
function quietly(): { onProgress: () => void; signal: AbortSignal } {
  return { onProgress: () => {}, signal: new AbortController().signal };
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}
