/** Tree streams as tar archives, for tools that know tar only. Loaded when one is asked for. */
import { isUtf8 } from "node:buffer";
import tar from "tar-stream";
import { ThawError } from "../errors.ts";
import { ByteReader } from "./byte-reader.ts";
import { ChunkWriter } from "./chunk-writer.ts";
import {
  EXTENT_BYTES,
  HEADER_BYTES,
  kind,
  MAX_ATTRIBUTES_BYTES,
  MAX_FILE_BYTES,
  NS_PER_SECOND,
  type RecordHeader,
  readHeader,
  showPath,
  treeFault,
} from "./format.ts";
import type { SkippedEntry } from "./pack.ts";
import { refusePath, splitPath } from "./path.ts";

/** A file that says it is empty, as those of proc do, is read this far to learn its length. */
const MAX_UNTOLD_BYTES = 16 << 20;
const ZEROS = Buffer.alloc(65_536);
/** Larger values need a pax header. */
const MAX_OCTAL_ID = 0o777777;
const MAX_OCTAL_SECONDS = 0x7fffffff;

/** What an archive tells of an entry beside its name and its content. */
export interface TarMeta {
  mode: number;
  mtimeNs: bigint;
  uid: number;
  gid: number;
}

type Fill = (archive: TarWriter) => Promise<void>;

/** An archive under way. Each method settles when its entry was written. */
class TarWriter {
  readonly #pack: tar.Pack;

  constructor(pack: tar.Pack) {
    this.#pack = pack;
  }

  folder(name: string, meta: TarMeta): Promise<void> {
    return this.#put(headerOf(`${name}/`, meta, "directory"));
  }

  symlink(name: string, meta: TarMeta, target: string): Promise<void> {
    return this.#put({ ...headerOf(name, meta, "symlink"), linkname: target });
  }

  link(name: string, meta: TarMeta, target: string): Promise<void> {
    return this.#put({ ...headerOf(name, meta, "link"), linkname: target });
  }

  /** Content that is shorter than `size` is filled up with zeros; what is more is left out. */
  async file(
    name: string,
    meta: TarMeta & { size: number },
    content: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {});
    const sink = this.#pack.entry({ ...headerOf(name, meta, "file"), size: meta.size }, (error) =>
      error ? reject(error) : resolve(),
    );
    const write = async (bytes: Uint8Array): Promise<void> => {
      if (sink.write(bytes)) return;
      const drained = Promise.withResolvers<void>();
      sink.once("drain", drained.resolve);
      await Promise.race([drained.promise, promise]);
    };
    let left = meta.size;
    for await (const chunk of content) {
      if (left === 0) break;
      const wanted = chunk.subarray(0, left);
      left -= wanted.length;
      if (wanted.length > 0) await write(wanted);
    }
    for (; left > 0; left -= Math.min(left, ZEROS.length))
      await write(ZEROS.subarray(0, Math.min(left, ZEROS.length)));
    sink.end(undefined);
    await promise;
  }

  #put(header: Parameters<tar.Pack["entry"]>[0]): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#pack.entry(header, (error) => (error ? reject(error) : resolve()));
    return promise;
  }
}

function headerOf(name: string, { mode, mtimeNs, uid, gid }: TarMeta, type: tar.Header["type"]) {
  const seconds = Number(mtimeNs / NS_PER_SECOND);
  const small = seconds >= 0 && seconds <= MAX_OCTAL_SECONDS;
  const pax = {
    ...(small && mtimeNs % NS_PER_SECOND === 0n ? {} : { mtime: decimalTime(mtimeNs) }),
    ...(uid > MAX_OCTAL_ID ? { uid: String(uid) } : {}),
    ...(gid > MAX_OCTAL_ID ? { gid: String(gid) } : {}),
  };
  return {
    name,
    type,
    // The library takes a mode of 0 for none.
    mode: 0o100000 | (mode & 0o7777),
    mtime: new Date(small ? seconds * 1000 : 0),
    uid: uid > MAX_OCTAL_ID ? 0 : uid,
    gid: gid > MAX_OCTAL_ID ? 0 : gid,
    ...(Object.keys(pax).length === 0 ? {} : { pax }),
  };
}

function decimalTime(ns: bigint): string {
  const size = ns < 0n ? -ns : ns;
  return `${ns < 0n ? "-" : ""}${size / NS_PER_SECOND}.${String(size % NS_PER_SECOND).padStart(9, "0")}`;
}

/** An archive of what `fill` puts into it. */
export async function* writeTar(fill: Fill): AsyncGenerator<Buffer, void> {
  const pack = tar.pack();
  const filled = fill(new TarWriter(pack)).then(
    () => pack.finalize(),
    (error: Error) => pack.destroy(error),
  );
  const out = new ChunkWriter();
  try {
    for await (const bytes of pack as AsyncIterable<Buffer>)
      for (let at = 0; at < bytes.length; ) {
        const part = bytes.subarray(at, at + out.room);
        out.put((buffer, to) => to + part.copy(buffer, to));
        at += part.length;
        if (out.room === 0) yield out.take();
      }
    if (!out.empty) yield out.take();
  } finally {
    pack.destroy();
    await filled;
  }
}

/** An archive of one file. */
export function tarOfFile(
  name: string,
  meta: TarMeta & { size: number },
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Buffer, void> {
  return writeTar(async (archive) => {
    if (meta.size > 0) return archive.file(name, meta, content);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of content) {
      size += chunk.length;
      if (size > MAX_UNTOLD_BYTES)
        throw new ThawError("unsupported", `${name} has no known length, so it can't be in an archive`);
      chunks.push(chunk);
    }
    await archive.file(
      name,
      { ...meta, size },
      (async function* () {
        yield* chunks;
      })(),
    );
  });
}

/**
 * An archive of a folder. The tree stream may be a hostile guest's: its names can't lead out; where its links lead stays as it is.
 * @param options name: of the folder, empty for an archive of what is in it
 * @throws ThawError `agent-fault` for a stream that breaks the format
 */
export function tarOfTree(
  tree: AsyncIterable<Uint8Array>,
  options: {
    name: string;
    meta: TarMeta;
    onSkipped?: (skipped: SkippedEntry) => void;
    onAttributes?: (path: Buffer, names: string[]) => void;
  },
): AsyncGenerator<Buffer, void> {
  const top = options.name === "" ? "." : options.name;
  return writeTar(async (archive) => {
    const reader = new ByteReader(tree);
    try {
      await archive.folder(top, options.meta);
      while (await addRecord(archive, reader, { ...options, top }));
      await reader.expectEnd();
    } finally {
      await reader.close();
    }
  });
}

async function readText(reader: ByteReader): Promise<Buffer> {
  return Buffer.from(await reader.read((await reader.read(2)).readUInt16LE()));
}

/** @returns false behind the end record */
async function addRecord(
  archive: TarWriter,
  reader: ByteReader,
  { top, onSkipped, onAttributes }: Parameters<typeof tarOfTree>[1] & { top: string },
): Promise<boolean> {
  const type = (await reader.read(1))[0] ?? 0;
  if (type === kind.end) return false;
  if (type > kind.attributes) throw treeFault(`unknown kind ${type}`);
  const { pathBytes, ...header } = readHeader(type, Buffer.from(await reader.read(HEADER_BYTES - 1)));
  const path = Buffer.from(await reader.read(pathBytes));
  const refused = refusePath(path, splitPath(path));
  if (refused !== undefined) throw treeFault(refused);
  const meta = metaOf({ ...header, path });
  const name = `${top}/${path.toString()}`;
  const sound = isUtf8(path);
  const skip = (reason: string): void => onSkipped?.({ path, reason });
  if (type === kind.file) {
    const size = (await reader.read(8)).readBigUInt64LE();
    if (size > BigInt(MAX_FILE_BYTES)) throw treeFault(`${showPath(path)} of ${size} bytes`);
    const content = readContent(reader, Number(size), path);
    if (sound) await archive.file(name, { ...meta, size: Number(size) }, content);
    for await (const _rest of content);
  } else if (type !== kind.directory) {
    const text = await readText(reader);
    if (type === kind.skipped) skip(text.toString());
    else if (type === kind.attributes) {
      if (text.length > MAX_ATTRIBUTES_BYTES) throw treeFault(`attributes of ${showPath(path)}`);
      onAttributes?.(path, text.toString().split("\0").filter(Boolean));
      return true;
    } else if (sound && isUtf8(text)) {
      if (type === kind.symlink) await archive.symlink(name, meta, text.toString());
      else await addLink(archive, { name, meta, target: text, top });
    } else if (sound) skip("what it links to is not UTF-8, as names in an archive are");
  } else if (sound) await archive.folder(name, meta);
  if (!sound) skip("its name is not UTF-8, as names in an archive are");
  return true;
}

async function addLink(
  archive: TarWriter,
  { name, meta, target, top }: { name: string; meta: TarMeta; target: Buffer; top: string },
): Promise<void> {
  const refused = refusePath(target, splitPath(target));
  if (refused !== undefined) throw treeFault(`${refused}, in a hard link`);
  await archive.link(name, meta, `${top}/${target.toString()}`);
}

function metaOf({ mode, mtime, uid, gid }: RecordHeader): TarMeta {
  return { mode, uid, gid, mtimeNs: mtime.seconds * NS_PER_SECOND + BigInt(mtime.nanoseconds) };
}

/** A file's bytes, its holes as zeros. */
async function* readContent(reader: ByteReader, size: number, path: Buffer): AsyncGenerator<Buffer, void> {
  for (let end = 0; ; ) {
    const extent = await reader.read(EXTENT_BYTES);
    const start = extent.readBigUInt64LE(0);
    const length = extent.readUInt32LE(8);
    if (length === 0) return;
    if (start < BigInt(end) || start + BigInt(length) > BigInt(size))
      throw treeFault(`extent at ${start} of ${length} bytes in ${showPath(path)} of ${size} bytes`);
    for (; end < Number(start); end += Math.min(ZEROS.length, Number(start) - end))
      yield ZEROS.subarray(0, Math.min(ZEROS.length, Number(start) - end));
    for (const until = end + length; end < until; ) {
      const data = await reader.readSome(until - end);
      end += data.length;
      yield data;
    }
  }
}
