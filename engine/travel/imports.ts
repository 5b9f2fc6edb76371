/**
 * What comes to this host: received part by part into a folder of its own, each part kept as far as it came, checked against the manifest, and
 * only when all of it is right published by one rename. An import that was broken off goes on where it was.
 */
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
} from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { caseFile } from "../../api/case-file.ts";
import { type Artifact, type WirePart, wirePart } from "../../api/travel.ts";
import { sync } from "../../durable/write.ts";
import type { Runners } from "../../runners/runners.ts";
import { isNoSpace } from "../as-engine-error.ts";
import { needCapabilities } from "../capabilities.ts";
import type { CaptureStore, StoredCapture } from "../captures/store.ts";
import { EngineError } from "../errors.ts";
import { recordedRequest } from "../execs/request.ts";
import type { Holds } from "../holds.ts";
import type { Home } from "../home.ts";
import { mib, type OnProgress, phase } from "../progress.ts";
import type { SnapshotStore, StoredSnapshot } from "../snapshots/store.ts";
import type { Quarantine } from "../state/quarantine.ts";
import { readRecord, recordKind, writeRecord } from "../state/record.ts";
import { expandSparse, readStart } from "./sparse.ts";
import { type Incoming, importKey, readIncoming } from "./wire.ts";

const RECORD_FILE = "import.json";
const OPENED_DIR = "opened";
/** An import nobody went on with for this long is removed. */
const KEPT_MS = 24 * 3600_000;
/** Of a disk, as much as is looked at before it is anybody's. */
const DISK_HEADER_BYTES = 4096;

const importRecord = z.strictObject({
  kind: z.enum(["snapshot", "capture"]),
  manifest: z.string(),
  parts: z.array(wirePart),
});
const importKind = recordKind("import record", importRecord);

export interface ImportContext {
  home: Home;
  snapshots: SnapshotStore;
  captures: CaptureStore;
  runner: Runners;
  holds: Holds;
  quarantine: Quarantine;
  /** Throws `no-space` when there would be less than the host keeps free. */
  needDisk(bytes?: number): Promise<void>;
  /** Counts the memory that receiving and unpacking takes. */
  withHelper<T>(work: () => Promise<T>): Promise<T>;
}

export interface ImportState {
  /** Null when it is here already. */
  import: string | null;
  kind: Artifact["kind"];
  id: string;
  /** Bytes that are here, of each part. */
  received: Record<string, number>;
}

export type Imported =
  | { kind: "snapshot"; snapshot: StoredSnapshot }
  | { kind: "capture"; capture: StoredCapture };

export class Imports {
  readonly #context: ImportContext;
  /** `import/part` that is being received, or `import` that is being committed. */
  readonly #busy = new Set<string>();

  constructor(context: ImportContext) {
    this.#context = context;
  }

  /** Removes what nobody went on with. */
  async recover(): Promise<void> {
    const { imports } = this.#context.home;
    for (const name of await readdir(imports).catch(() => [])) {
      const found = await stat(join(imports, name)).catch(() => null);
      if (!found || Date.now() - found.mtimeMs > KEPT_MS)
        await rm(join(imports, name), { recursive: true, force: true });
    }
  }

  /** Reads the manifest, and says what of it is to be sent. Throws `…-corrupt`, `conflict`, `no-space`. */
  async begin(kind: Artifact["kind"], text: string, parts: readonly WirePart[]): Promise<ImportState> {
    const incoming = readIncoming(kind, text, parts);
    const { id } = incoming;
    using _held = this.#holdOf(incoming);
    if (await this.#isHere(incoming)) return { import: null, kind, id, received: {} };
    const { runner } = this.#context;
    const { runner: maker } = incoming.manifest.needs;
    if (runner.names.includes(maker)) needCapabilities(runner.of(maker), `import ${id}`, { travel: true });
    await this.#checkBase(incoming);
    const key = importKey(text);
    const dir = this.#dir(key);
    const read = await readRecord(join(dir, RECORD_FILE), importKind);
    const record = importRecord.parse({ kind, manifest: text, parts });
    if (read.state === "unreadable")
      await this.#context.quarantine.setAside({ kind: "import", what: key, path: dir, reason: read.reason });
    // The same machine compressed by another library is other bytes.
    if (read.state === "ok" && JSON.stringify(read.value) !== JSON.stringify(record))
      await rm(dir, { recursive: true, force: true });
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await writeRecord(join(dir, RECORD_FILE), importKind, record, { survives: "power-loss" });
    await utimes(dir, new Date(), new Date());
    const received: Record<string, number> = {};
    for (const { name } of parts)
      received[name] =
        (await stat(join(dir, name)).catch(() => null))?.size ?? (await this.#partial(dir, name));
    const missing = parts.reduce((sum, { name, sizeBytes }) => sum + sizeBytes - (received[name] ?? 0), 0);
    await this.#context.needDisk(missing);
    return { import: key, kind, id, received };
  }

  /**
   * Takes a part, from byte `from` on. One that ends early is kept as far as it came; one that is whole and not what the manifest says is
   * thrown away. Throws `conflict` when `from` is not where it ends, `…-corrupt`.
   */
  async receive(key: string, name: string, from: number, source: AsyncIterable<Buffer>): Promise<void> {
    const { record, dir } = await this.#open(key);
    const part = record.parts.find((one) => one.name === name);
    if (!part) throw new EngineError("not-found", `import ${key} has no part ${name}`);
    using _held = this.#holdOf(readIncoming(record.kind, record.manifest, record.parts));
    await this.#alone(`${key}/${name}`, async () => {
      if (await stat(join(dir, name)).catch(() => null)) return;
      const path = join(dir, `.${name}`);
      const has = await this.#partial(dir, name);
      if (from !== has)
        throw new EngineError("conflict", `${name} was received up to byte ${has}, not ${from}`);
      const hash = await hashOf(path);
      const file = await open(path, "a", 0o600);
      try {
        await this.#append(file, hash, has, part, source, record.kind);
        await file.sync();
      } finally {
        await file.close();
      }
      if (hash.digest("hex") !== part.sha256) {
        await rm(path, { force: true });
        throw fault(record.kind, `${name} does not match its digest: the received data was altered`);
      }
      await rename(path, join(dir, name));
      await sync(dir);
    });
  }

  /** Opens and checks all of it, and publishes it. Throws `…-corrupt`, `no-space`, `conflict`. */
  async commit(
    key: string,
    { onProgress, signal }: { onProgress: OnProgress; signal: AbortSignal },
  ): Promise<Imported> {
    const { record, dir } = await this.#open(key);
    return this.#alone(key, async () => {
      const incoming = readIncoming(record.kind, record.manifest, record.parts);
      using _held = this.#holdOf(incoming);
      for (const { name } of incoming.parts)
        if (!(await stat(join(dir, name)).catch(() => null)))
          throw new EngineError("conflict", `import ${key}: ${name} is not here yet`);
      const opened = join(dir, OPENED_DIR);
      await rm(opened, { recursive: true, force: true });
      await mkdir(opened);
      try {
        const detail = (): string => mib(incoming.parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
        return await phase(onProgress, { subject: incoming.id, phase: "check", detail }, () =>
          incoming.kind === "snapshot"
            ? this.#publishSnapshot(incoming, dir, opened, signal)
            : this.#publishCapture(incoming, dir, opened),
        );
      } catch (error) {
        // Whole, and yet not what it should be: nothing of it is worth keeping.
        if (error instanceof EngineError && error.code.endsWith("-corrupt"))
          await rm(dir, { recursive: true, force: true });
        throw error;
      } finally {
        await rm(opened, { recursive: true, force: true });
      }
    });
  }

  async #publishSnapshot(
    incoming: Incoming & { kind: "snapshot" },
    dir: string,
    opened: string,
    signal: AbortSignal,
  ): Promise<Imported> {
    const { manifest, text, id } = incoming;
    for (const { name, sizeBytes, sha256 } of manifest.parts) {
      const found = await expandSparse(join(dir, `${name}.zst`), join(opened, name), {
        limitBytes: sizeBytes,
        room: (bytes) => this.#context.needDisk(bytes),
        signal,
      }).catch((error: NodeJS.ErrnoException) => {
        if (signal.aborted || isNoSpace(error)) throw error;
        throw fault("snapshot", `${name} can't be opened: ${error.message}`);
      });
      if (found.sha256 !== sha256)
        throw fault("snapshot", `${name} does not match the digest in its manifest`);
      if (name.endsWith(".qcow2"))
        await this.#checkDisk("snapshot", name, await start(join(opened, name)), manifest.resources.diskMib);
    }
    if (await this.#isHere(incoming)) await rm(opened, { recursive: true, force: true });
    else await this.#context.snapshots.adopt(opened, text);
    await rm(dir, { recursive: true, force: true });
    return { kind: "snapshot", snapshot: await this.#context.snapshots.get(id) };
  }

  async #publishCapture(
    incoming: Incoming & { kind: "capture" },
    dir: string,
    opened: string,
  ): Promise<Imported> {
    const { manifest, text, id } = incoming;
    await this.#checkBase(incoming);
    for (const { name } of manifest.parts)
      if (/^(before-)?layer-/.test(name)) {
        const header = await readStart(join(dir, name), DISK_HEADER_BYTES).catch((error: Error) => {
          throw fault("capture", `${name} can't be opened: ${error.message}`);
        });
        await this.#checkDisk("capture", name, header, manifest.resources.diskMib);
      }
    const file = caseFile.safeParse(await readJson(join(dir, "case.json")));
    if (!file.success) throw fault("capture", "case.json is no case file");
    if (file.data.id !== id || file.data.base.snapshot !== manifest.base.snapshot)
      throw fault("capture", "case.json is another capture's");
    const hasRequest = manifest.parts.some(({ name }) => name === "request.json");
    if (hasRequest && !recordedRequest.safeParse(await readJson(join(dir, "request.json"))).success)
      throw fault("capture", "request.json is no request");
    // What was received stays until the capture is there.
    for (const { name } of manifest.parts) await link(join(dir, name), join(opened, name));
    const capture = await this.#context.captures.adopt(opened, text, manifest);
    await rm(dir, { recursive: true, force: true });
    return { kind: "capture", capture };
  }

  async #checkDisk(kind: Artifact["kind"], name: string, header: Buffer, diskMib: number): Promise<void> {
    const why = this.#context.runner.diskFault(header, diskMib);
    if (why !== null) throw fault(kind, `${name} ${why}`);
  }

  /** Throws `conflict` when another of that name is here. */
  async #isHere({ kind, id, text }: Incoming): Promise<boolean> {
    const { home } = this.#context;
    const path = join(kind === "snapshot" ? home.snapshots : home.captures, id, "manifest.json");
    const found = await readFile(path, "utf8").catch(() => null);
    if (found === null || found === text) return found !== null;
    throw new EngineError("conflict", `there is another ${kind} ${id} on this host`, {
      hint: `thaw ${kind} rm ${id}, if it is not needed`,
    });
  }

  /** Held: the base that a capture comes after, from when it is here or on its way until its capture is there. */
  #holdOf(incoming: Incoming): Disposable {
    return this.#context.holds.carry(
      incoming.kind === "capture" ? incoming.manifest.base.snapshot : incoming.id,
    );
  }

  /** A capture is nothing without the very snapshot that it differs from. */
  async #checkBase(incoming: Incoming): Promise<void> {
    if (incoming.kind === "snapshot") return;
    const { base, resources } = incoming.manifest;
    const found = await this.#context.snapshots.get(base.snapshot).catch(() => null);
    if (found?.id !== base.snapshot)
      throw fault("capture", `is based on snapshot ${base.snapshot}, which is not on this host`);
    if ((await this.#context.snapshots.digest(found.id)) !== base.digest)
      throw fault("capture", `is based on another snapshot than ${base.snapshot}`);
    const own = found.manifest.resources;
    if (
      own.memoryMib !== resources.memoryMib ||
      own.diskMib !== resources.diskMib ||
      own.cpus !== resources.cpus
    )
      throw fault("capture", `says it is of another machine than its base, snapshot ${base.snapshot}`);
  }

  async #append(
    file: FileHandle,
    hash: Hash,
    has: number,
    part: WirePart,
    source: AsyncIterable<Buffer>,
    kind: Artifact["kind"],
  ): Promise<void> {
    let at = has;
    for await (const chunk of source) {
      if (at + chunk.length > part.sizeBytes) {
        await file.truncate(0);
        throw fault(kind, `${part.name} goes on past its ${part.sizeBytes} bytes`);
      }
      await file.writeFile(chunk);
      hash.update(chunk);
      at += chunk.length;
    }
    if (at < part.sizeBytes)
      throw new EngineError("cancelled", `${part.name} ended after ${at} of ${part.sizeBytes} bytes`, {
        hint: "run the same command again to continue",
      });
  }

  #dir(key: string): string {
    return join(this.#context.home.imports, key);
  }

  async #open(key: string): Promise<{ record: z.infer<typeof importRecord>; dir: string }> {
    const dir = this.#dir(key);
    const read = await readRecord(join(dir, RECORD_FILE), importKind);
    if (read.state === "ok") return { record: read.value, dir };
    if (read.state === "absent") throw new EngineError("not-found", `no import ${key}`);
    throw new EngineError("conflict", `import ${key} can't go on: ${RECORD_FILE} ${read.reason}`, {
      hint: "run the same command again to start over",
    });
  }

  async #partial(dir: string, name: string): Promise<number> {
    return (await stat(join(dir, `.${name}`)).catch(() => null))?.size ?? 0;
  }

  async #alone<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.#busy.has(what))
      throw new EngineError("conflict", "another client is importing the same part now", {
        hint: "wait for it, then try again",
      });
    this.#busy.add(what);
    try {
      return await this.#context.withHelper(work);
    } finally {
      this.#busy.delete(what);
    }
  }
}

function fault(kind: Artifact["kind"], what: string): EngineError {
  return new EngineError(`${kind}-corrupt`, `the imported ${kind}: ${what}`, {
    hint: "nothing of it was kept; export it again on the original host",
  });
}

async function hashOf(path: string): Promise<Hash> {
  const hash = createHash("sha256");
  if (!(await stat(path).catch(() => null))) return hash;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash;
}

async function start(path: string): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(DISK_HEADER_BYTES), 0, DISK_HEADER_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch {
    return null;
  }
}
