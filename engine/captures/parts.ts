/** A capture's files as they are stored: compressed, digested, and only opened when their digest is right. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { sha256File } from "../../durable/digest.ts";
import type { CapturePart } from "./case-file.ts";

const CHUNK_BYTES = 1 << 20;
/** A failure's memory is mostly text, heaps and zeros: higher levels gain a few percent and cost several times as much. */
const LEVEL = 3;
/** What zstd may need to open a part; streams that ask for more are refused. */
const MAX_WINDOW_LOG = 27;

type Stored = Pick<CapturePart, "sizeBytes" | "sha256" | "rawBytes">;

/** @returns what a manifest says of it. */
export async function compressPart(from: string, to: string, signal?: AbortSignal): Promise<Stored> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  let rawBytes = 0;
  await pipeline(
    createReadStream(from, { highWaterMark: CHUNK_BYTES }),
    tap((chunk) => {
      rawBytes += chunk.length;
    }),
    createZstdCompress({
      chunkSize: CHUNK_BYTES,
      params: { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 0 },
    }),
    tap((chunk) => {
      sizeBytes += chunk.length;
      hash.update(chunk);
    }),
    createWriteStream(to, { flags: "wx", mode: 0o444 }),
    ...(signal ? [{ signal }] : []),
  );
  return { sizeBytes, rawBytes, sha256: hash.digest("hex") };
}

/** What a manifest says of a file that is stored as it is. */
export async function describePart(path: string, signal?: AbortSignal): Promise<Stored> {
  const { size } = await stat(path);
  return { sizeBytes: size, rawBytes: size, sha256: await sha256File(path, signal) };
}

/** What is wrong with a stored part, in words that follow its name; null when nothing is. */
export async function faultOf(path: string, part: CapturePart, signal?: AbortSignal): Promise<string | null> {
  const found = await stat(path).catch(() => null);
  if (!found) return "is missing";
  if (found.size !== part.sizeBytes) return `has ${found.size} bytes, not ${part.sizeBytes}`;
  const same = (await sha256File(path, signal)) === part.sha256;
  return same ? null : "was altered: its content does not match its digest";
}

/**
 * Reads a part whose digest was checked, also one that is stored as it is. Passes on no more bytes than the manifest says there are. Throws
 * `Error` when it is not that much.
 */
export async function readPart(
  from: string,
  part: CapturePart,
  look: (chunk: Buffer) => void,
  signal?: AbortSignal,
): Promise<void> {
  let bytes = 0;
  const reader = new Writable({
    highWaterMark: CHUNK_BYTES,
    write(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > part.rawBytes)
        return done(new Error(`decompresses to more than the ${part.rawBytes} bytes in its manifest`));
      look(chunk);
      // Others have their turn between two chunks.
      setImmediate(done);
    },
  });
  const params = { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG };
  await pipeline(
    [
      createReadStream(from, { highWaterMark: CHUNK_BYTES }),
      ...(part.name.endsWith(".zst") ? [createZstdDecompress({ chunkSize: CHUNK_BYTES, params })] : []),
      reader,
    ],
    signal ? { signal } : {},
  );
  if (bytes !== part.rawBytes) throw new Error(`decompresses to ${bytes} bytes, not ${part.rawBytes}`);
}

function tap(look: (chunk: Buffer) => void): Transform {
  return new Transform({
    highWaterMark: CHUNK_BYTES,
    transform(chunk: Buffer, _encoding, done) {
      look(chunk);
      done(null, chunk);
    },
  });
}
