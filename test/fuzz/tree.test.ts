import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ThawError } from "../../client/errors.ts";
import { packTree } from "../../client/tree/pack.ts";
import { SourceFolder } from "../../client/tree/source-folder.ts";
import { unpackTree } from "../../client/tree/unpack.ts";
import { walkFolder } from "../../client/tree/walk.ts";

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const runs = Number(process.env.FUZZ_RUNS ?? 800);

/** Names and targets that an attacker would splice in, of lengths that fit where others were. */
const spices = ["../", "/", "..", ".", "\0", "a/..", "../../..", "/etc/passwd", "\xff\xfe", "\n"];

type Mutation =
  | { type: "flip"; at: number; value: number }
  | { type: "cut"; at: number; length: number }
  | { type: "repeat"; at: number; length: number }
  | { type: "splice"; at: number; spice: string };

const at = fc.nat(100_000);
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ type: fc.constant("flip" as const), at, value: fc.nat(255) }),
  fc.record({ type: fc.constant("cut" as const), at, length: fc.nat(64) }),
  fc.record({ type: fc.constant("repeat" as const), at, length: fc.nat(64) }),
  fc.record({ type: fc.constant("splice" as const), at, spice: fc.constantFrom(...spices) }),
);

function mutate(bytes: Buffer, change: Mutation): Buffer {
  const from = bytes.length === 0 ? 0 : change.at % bytes.length;
  if (change.type === "cut")
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + change.length)]);
  if (change.type === "repeat") {
    return Buffer.concat([bytes.subarray(0, from + change.length), bytes.subarray(from)]);
  }
  const copy = Buffer.from(bytes);
  if (change.type === "flip" && from < copy.length) copy[from] = change.value;
  if (change.type === "splice") copy.write(change.spice, from, "latin1");
  return copy;
}

async function packSample(folder: string): Promise<Buffer> {
  mkdirSync(join(folder, "a/b"), { recursive: true });
  writeFileSync(join(folder, "a/one"), "1".repeat(100));
  writeFileSync(join(folder, "a/b/two"), "");
  writeFileSync(join(folder, "three"), Buffer.alloc(5000, 3));
  symlinkSync("../three", join(folder, "a/up"));
  symlinkSync("b/two", join(folder, "a/down"));
  symlinkSync("a", join(folder, "link"));
  const chunks: Buffer[] = [];
  for await (const chunk of packTree(walkFolder(new SourceFolder(folder)))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}

/** Everything beneath a folder but what is in `except`, with its type and bytes. */
function look(folder: string, except: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name !== except && !name.startsWith(`${except}/`))
    .map((name) => {
      const stats = lstatSync(join(folder, name));
      return `${name} ${stats.mode} ${stats.isFile() ? readFileSync(join(folder, name), "latin1") : ""}`;
    })
    .sort();
}

/** Folders may have got any mode. */
function remove(folder: string): void {
  if (process.getuid?.() !== 0) execFileSync("chmod", ["-Rf", "u+rwx", folder]);
  rmSync(folder, { recursive: true, force: true });
}

test(`a mutated tree stream never writes outside and never crashes (FUZZ_SEED=${seed})`, async () => {
  const base = mkdtempSync(join(tmpdir(), "thaw-fuzz-"));
  const sample = await packSample(join(base, "sample"));
  mkdirSync(join(base, "arena/deep"), { recursive: true });
  writeFileSync(join(base, "arena/canary"), "canary");
  const before = look(base, "arena/deep/to");
  const to = join(base, "arena/deep/to");
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(mutation, { maxLength: 8 }),
        fc.integer({ min: 1, max: 4096 }),
        async (changes, piece) => {
          const bytes = changes.reduce(mutate, sample);
          const limits = { entries: 100, bytes: 1 << 20, fileBytes: 1 << 20, depth: 16 };
          try {
            await unpackTree(inPieces(bytes, piece), to, { limits, overwrite: piece % 2 === 0 });
          } catch (error) {
            expect(error).toBeInstanceOf(ThawError);
          }
          expect(look(base, "arena/deep/to")).toEqual(before);
          if (piece % 3 !== 0) remove(to);
        },
      ),
      { seed, numRuns: runs },
    );
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}, 120_000);
