/** Parts of a snapshot on their way: compressed alike every time, opened with holes where there are only zeros. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";

const CHUNK_BYTES = 1 << 20;
/** The same level and library make the same bytes, so that a store is asked for a digest and not sent what it has. */
const LEVEL = 3;
const MAX_WINDOW_LOG = 27;
const BLOCK_BYTES = 4096;
/** Several parts are opened at once: what they take between two looks at the disk is much less than the host keeps free. */
const STEP_BYTES = 4 << 20;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

/** A file's content, compressed. Throws when `onRaw` does. */
export function compressed(
  path: string,
  onRaw: (chunk: Buffer) => void,
  signal?: AbortSignal,
): AsyncIterable<Buffer> {
  const zstd = createZstdCompress({
    chunkSize: CHUNK_BYTES,
    params: { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 0 },
  });
  const look = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      onRaw(chunk);
      yield chunk;
    }
  };
  const work = pipeline(
    createReadStream(path, { highWaterMark: CHUNK_BYTES }),
    look,
    zstd,
    ...(signal ? [{ signal }] : []),
  );
  work.catch((error: Error) => zstd.destroy(error));
  return zstd;
}

export interface Opened {
  /** Of the content. */
  sha256: string;
  bytes: number;
}

/**
 * Opens a compressed file to `to`, which must not exist. Never writes more than `limitBytes`; what was written is removed on failure.
 * @param room asked before every 4 MiB that take place on the disk; throws when there is no more
 */
export async function expandSparse(
  from: string,
  to: string,
  {
    limitBytes,
    room,
    signal,
  }: { limitBytes: number; room: (bytes: number) => Promise<void>; signal?: AbortSignal | undefined },
): Promise<Opened> {
  const hash = createHash("sha256");
  const file = await open(to, "wx", 0o600);
  let at = 0;
  let granted = 0;
  const write = async (source: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of source) {
      if (at + chunk.length > limitBytes)
        throw new Error(`decompresses to more than the ${limitBytes} bytes in its manifest`);
      hash.update(chunk);
      if (granted < chunk.length) {
        await room(STEP_BYTES);
        granted = STEP_BYTES;
      }
      granted -= await writeFilled(file, chunk, at);
      at += chunk.length;
    }
  };
  try {
    const zstd = createZstdDecompress({
      chunkSize: CHUNK_BYTES,
      params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG },
    });
    await pipeline(
      createReadStream(from, { highWaterMark: CHUNK_BYTES }),
      zstd,
      write,
      signal ? { signal } : {},
    );
    if (at !== limitBytes) throw new Error(`decompresses to ${at} bytes, not ${limitBytes}`);
    await file.truncate(at);
    await file.chmod(0o444);
    return { sha256: hash.digest("hex"), bytes: at };
  } catch (error) {
    await rm(to, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** The beginning of a compressed file's content, `bytes` of it or all there is. */
export async function readStart(from: string, bytes: number): Promise<Buffer> {
  const zstd = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG } });
  createReadStream(from)
    .on("error", (error) => zstd.destroy(error))
    .pipe(zstd);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of Readable.from(zstd) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length >= bytes) break;
  }
  zstd.destroy();
  return Buffer.concat(chunks).subarray(0, bytes);
}

/** Writes the blocks that are not all zeros. @returns bytes written */
async function writeFilled(
  file: Awaited<ReturnType<typeof open>>,
  chunk: Buffer,
  at: number,
): Promise<number> {
  let written = 0;
  let start = -1;
  for (let offset = 0; offset <= chunk.length; ) {
    const end = Math.min(chunk.length, offset + BLOCK_BYTES - ((at + offset) % BLOCK_BYTES));
    const empty =
      offset === chunk.length || chunk.subarray(offset, end).equals(ZEROS.subarray(0, end - offset));
    if (!empty && start < 0) start = offset;
    if (empty && start >= 0) {
      await file.write(chunk, start, offset - start, at + start);
      written += offset - start;
      start = -1;
    }
    if (offset === chunk.length) break;
    offset = end;
  }
  return written;
}
