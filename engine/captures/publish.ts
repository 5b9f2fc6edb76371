/** What may leave the host: nothing in which secrets were found, unless it is left out or said to be none. */
import { EngineError } from "../errors.ts";
import type { Finding, SecretScan } from "./case-file.ts";
import type { StoredCapture } from "./store.ts";

export interface PublishOptions {
  /** Where only the memory has secrets: publish the disk alone. */
  allowDiskOnly?: boolean | undefined;
  /** Shapes that are said to be no secrets here, e.g. a test's `private-key`. Values that were masked can't be allowed. */
  allow?: readonly string[] | undefined;
}

/**
 * The capture as it may be published: itself, or without its memory. Throws `secrets-found` with kinds and places.
 * @param scan of this very capture
 */
export function assertPublishable(
  capture: StoredCapture,
  scan: SecretScan,
  { allowDiskOnly = false, allow = [] }: PublishOptions = {},
): StoredCapture {
  const counted = scan.findings.filter(({ kind, masked }) => masked || !allow.includes(kind));
  if (counted.length === 0) return capture;
  const diskOnly = withoutMemory(capture);
  const leaves = (part: string): boolean => diskOnly.manifest.parts.some(({ name }) => name === part);
  const inMemoryOnly = capture.manifest.memory === "difference" && !counted.some(({ part }) => leaves(part));
  if (inMemoryOnly && allowDiskOnly) return diskOnly;
  const { id } = capture;
  const shapes = [...new Set(counted.filter(({ masked }) => !masked).map(({ kind }) => kind))];
  const ways = [
    `thaw capture show ${id}`,
    ...(inMemoryOnly ? ["--disk-only publishes it without its memory"] : []),
    ...shapes.map((kind) => `--allow-secrets ${kind} when that is none`),
  ];
  throw new EngineError(
    "secrets-found",
    `${id} is not published: it has ${counted.map(describeFinding).join(", ")}`,
    {
      details: counted.map((one) => `${describeFinding(one)} (${one.part}${pagesOf(one)})`),
      hint: ways.join("; "),
    },
  );
}

/** The same capture without its memory and its checkpoint: its disk can be booted and read. The stored one stays as it is. */
export function withoutMemory(capture: StoredCapture): StoredCapture {
  const { manifest } = capture;
  const parts = manifest.parts.filter(({ name }) => !/^(pages|devices|before-)/.test(name));
  return { ...capture, manifest: { ...manifest, memory: "none", parts } };
}

/** `TOKEN ×3 in memory`. */
export function describeFinding({ kind, count, where }: Finding): string {
  return `${kind} ×${count} in ${where === "log" ? "the case file" : where}`;
}

function pagesOf({ pages }: Finding): string {
  return pages.length === 0 ? "" : `, page ${pages.join(", ")}`;
}
