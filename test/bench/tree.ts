/** A folder like a project's: many small files, some middling, a few large, text and noise. The same bytes each time. */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const KINDS = [
  { count: 1700, bytes: 6_000, folder: "src" },
  { count: 280, bytes: 120_000, folder: "assets" },
  { count: 5, bytes: 14_000_000, folder: "vendor" },
] as const;
const FILES_PER_FOLDER = 40;

/** Bytes and files written beneath `dir`, which is made. */
export function writeTree(dir: string): { bytes: number; files: number } {
  let bytes = 0;
  let files = 0;
  for (const { count, bytes: size, folder } of KINDS) {
    for (let index = 0; index < count; index++) {
      const parent = join(dir, folder, `part-${Math.floor(index / FILES_PER_FOLDER)}`);
      if (index % FILES_PER_FOLDER === 0) mkdirSync(parent, { recursive: true });
      // Sizes from a half to one and a half of the usual.
      const length = Math.round(size * (0.5 + ((index * 37) % 101) / 100));
      writeFileSync(join(parent, `file-${index}.dat`), contentOf(`${folder}/${index}`, length));
      bytes += length;
      files += 1;
    }
  }
  return { bytes, files };
}

/** Lines of hexadecimal, then bytes that don't compress. */
function contentOf(seed: string, length: number): Buffer {
  const noise = createHash("shake256", { outputLength: 4096 }).update(seed).digest();
  const text = Buffer.from(noise.toString("hex").replace(/(.{64})/g, "$1\n"));
  const content = Buffer.alloc(length);
  for (let at = 0, turn = 0; at < length; turn++) at += (turn % 2 === 0 ? text : noise).copy(content, at);
  return content;
}
