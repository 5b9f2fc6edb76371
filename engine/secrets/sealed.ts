/**
 * What is kept of secret values: enough to find them in bytes, not to read them. A value that can be guessed can be guessed from it, as from
 * any digest.
 */
import { createHash, randomBytes } from "node:crypto";
import { z } from "zod";
import { MIN_SECRET_BYTES } from "../../api/mask.ts";
import { EngineError } from "../errors.ts";
import { recordKind } from "../state/record.ts";
import { windowHash } from "./window.ts";

const MAX_PATTERN_BYTES = 200_000;
const MAX_PATTERNS = 20_000;

const sealedPattern = z.strictObject({
  /** Of the variable. */
  name: z.string(),
  bytes: z.int().min(MIN_SECRET_BYTES).max(MAX_PATTERN_BYTES),
  /** 16 bits of the first four bytes. */
  window: z.int().min(0).max(0xffff),
  /** 32 bits of all bytes: spares most digests. */
  hash: z.int().min(0).max(0xffff_ffff),
  /** SHA-256 of the salt and the bytes. */
  digest: z.string().regex(/^[0-9a-f]{64}$/),
});
export type SealedPattern = z.infer<typeof sealedPattern>;

export const sealedSecrets = z.strictObject({
  salt: z.string().regex(/^[0-9a-f]{32}$/),
  /** Of both hashes; odd. */
  multiplier: z.int().min(1).max(0xffff_ffff),
  patterns: z.array(sealedPattern).max(MAX_PATTERNS),
});
export const secretsKind = recordKind("sealed secrets", sealedSecrets);
export type SealedSecrets = z.infer<typeof sealedSecrets>;

/**
 * Adds values, by the names of their variables. Those shorter than six bytes are left out. Throws `usage` when there are too many lines in
 * them.
 */
export function sealSecrets(
  before: SealedSecrets | null,
  values: Readonly<Record<string, string>>,
): SealedSecrets {
  const { salt, multiplier, patterns } = before ?? {
    salt: randomBytes(16).toString("hex"),
    multiplier: (randomBytes(4).readUInt32LE() | 1) >>> 0,
    patterns: [],
  };
  const byDigest = new Map(patterns.map((pattern) => [pattern.digest, pattern]));
  for (const [name, value] of Object.entries(values))
    for (const text of formsOf(value)) {
      const bytes = Buffer.from(text);
      if (bytes.length < MIN_SECRET_BYTES) continue;
      const digest = sealedDigest(salt, bytes);
      if (byDigest.has(digest)) continue;
      const hash = wholeHash(bytes, 0, bytes.length, multiplier);
      const window = windowHash(bytes, 0, multiplier);
      byDigest.set(digest, { name, bytes: bytes.length, window, hash, digest });
    }
  if (byDigest.size > MAX_PATTERNS)
    throw new EngineError("usage", `the secret values have more lines than can be masked: ${MAX_PATTERNS}`);
  return { salt, multiplier, patterns: [...byDigest.values()] };
}

export function sealedDigest(salt: string, bytes: Uint8Array): string {
  return createHash("sha256").update(salt).update(bytes).digest("hex");
}

/** 32 bits of `bytes[from, to)`. */
export function wholeHash(bytes: Uint8Array, from: number, to: number, multiplier: number): number {
  let hash = to - from;
  for (let at = from; at < to; at++) hash = (Math.imul(hash, multiplier) + (bytes[at] as number)) | 0;
  return hash >>> 0;
}

/** As it is, each of its lines, and what is the same in its base64 whatever stands around it, as in a header `Basic …`. */
function formsOf(value: string): string[] {
  const lines = value.split(/\r?\n/).map((line) => line.trim());
  return [...new Set([value, ...lines, ...base64Forms(Buffer.from(value))])];
}

function base64Forms(bytes: Buffer): string[] {
  if (bytes.length < MIN_SECRET_BYTES) return [];
  return [0, 1, 2].flatMap((shift) => {
    const whole = Buffer.concat([Buffer.alloc(shift), bytes]);
    const own = whole
      .toString("base64")
      .slice(Math.ceil((shift * 8) / 6), Math.floor((whole.length * 8) / 6));
    return [own, own.replaceAll("+", "-").replaceAll("/", "_")];
  });
}
