/** The layers of an image, uncompressed one after the other into scratch files and applied to a tree. */
import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { unprotect } from "../../../host/oom-score.ts";
import { isNoSpace } from "../../as-engine-error.ts";
import { EngineError } from "../../errors.ts";
import { invalidImage, tooLarge } from "./invalid.ts";
import { LayerReader } from "./layer-reader.ts";
import { LayerTree } from "./layer-tree.ts";

const MIB = 1 << 20;
const CHUNK_BYTES = 256 << 10;
/** Room is asked for in these steps. */
const ROOM_BYTES = 64 * MIB;
/** mke2fs makes an inode per so many bytes of a disk. */
const BYTES_PER_INODE = 16 << 10;
const MOST_NAMES = 1_000_000;

export interface UnpackOptions {
  /** Files of the layers, lowest first, in the compression that they came in. */
  blobs: readonly string[];
  /** Path of the scratch file for a layer. */
  scratch: (layer: number) => string;
  /** Of the disk: all layers together unpack to no more than that. */
  diskMib: number;
  /** Throws `no-space` when the host has no room for so many bytes. */
  room(bytes: number): Promise<void>;
  signal: AbortSignal;
}

/** @returns the tree, and the uncompressed layers open, to be closed. @throws EngineError `build-failed`, `no-space`. */
export async function readLayers(
  options: UnpackOptions,
): Promise<{ tree: LayerTree; layers: FileHandle[]; bytes: number }> {
  const limit = options.diskMib * MIB;
  const tree = new LayerTree(Math.min(MOST_NAMES, (2 * limit) / BYTES_PER_INODE));
  const layers: FileHandle[] = [];
  let bytes = 0;
  let promised = 0;
  try {
    for (const [number, blob] of options.blobs.entries()) {
      const file = await open(options.scratch(number), "wx+", 0o600);
      layers.push(file);
      tree.nextLayer();
      const reader = new LayerReader((entry) => tree.add(entry));
      for await (const chunk of uncompressed(blob, await compressionOf(blob), options.signal)) {
        bytes += chunk.length;
        if (bytes > limit)
          throw tooLarge(`its layers unpack to more than ${options.diskMib} MiB, the size of the disk`);
        if (bytes > promised) {
          await options.room(ROOM_BYTES);
          promised += ROOM_BYTES;
        }
        reader.push(chunk);
        await file.appendFile(chunk);
      }
      reader.end();
    }
    return { tree, layers, bytes };
  } catch (error) {
    await Promise.all(layers.map((file) => file.close()));
    options.signal.throwIfAborted();
    if (isNoSpace(error) && !(error instanceof EngineError))
      throw new EngineError("no-space", "the disk became full while the image was unpacked", {
        hint: "free space, or set THAW_HOME",
      });
    throw error;
  }
}

type Compression = "gzip" | "zstd" | "none";

/** Media types are not always right. */
async function compressionOf(path: string): Promise<Compression> {
  const file = await open(path, "r");
  try {
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
    if (buffer.readUInt16BE(0) === 0x1f8b) return "gzip";
    return buffer.readUInt32LE(0) === 0xfd2fb528 ? "zstd" : "none";
  } finally {
    await file.close();
  }
}

async function* uncompressed(
  path: string,
  compression: Compression,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  if (compression === "zstd") return yield* zstd(path, signal);
  const blob = createReadStream(path, { highWaterMark: CHUNK_BYTES, signal });
  if (compression === "none") return yield* blob as AsyncIterable<Buffer>;
  const unzip = createGunzip({ chunkSize: CHUNK_BYTES });
  pipeline(blob, unzip, () => {});
  try {
    yield* unzip as AsyncIterable<Buffer>;
  } catch (error) {
    signal.throwIfAborted();
    throw notCompressed((error as Error).message);
  } finally {
    blob.destroy();
  }
}

/** By the program: Node's own ends with the first frame. */
async function* zstd(path: string, signal: AbortSignal): AsyncGenerator<Buffer, void> {
  const words = ["--pdeathsig", "KILL", "--", "zstd", "--decompress", "--stdout", "--quiet", path];
  const child = spawn("setpriv", words, { stdio: ["ignore", "pipe", "pipe"], signal });
  unprotect(child);
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-500);
  });
  const ended = new Promise<number | string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, ending) => resolve(code ?? ending ?? "unknown"));
  });
  try {
    yield* child.stdout as AsyncIterable<Buffer>;
    const code = await ended;
    signal.throwIfAborted();
    if (code !== 0) throw notCompressed(said.trim() || String(code));
  } finally {
    child.kill("SIGKILL");
  }
}

function notCompressed(why: string): EngineError {
  return invalidImage(`a layer can't be uncompressed: ${why}`);
}
