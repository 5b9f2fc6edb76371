/** What may leave the host: nothing in which secrets were found, unless it is left out or said to be none. */
import type { Finding, SecretScan } from "../../api/case-file.ts";
import { EngineError } from "../errors.ts";
import { BASE_PREFIX } from "./case-file.ts";
import type { StoredCapture } from "./store.ts";

export interface PublishOptions {
  /** Leave out the memory and the checkpoint, with the secrets that are only there. */
  diskOnly?: boolean | undefined;
  /** Shapes that are said to be no secrets here, e.g. a test's `private-key`. Values that were masked can't be allowed. */
  allow?: readonly string[] | undefined;
}

/**
 * The capture as it may be published: itself, or without its memory. Throws `secrets-found` with kinds and places, and
 * `unsupported` for one whose memory is its base's and can't be left out.
 * @param scan of this very capture
 */
export function assertPublishable(
  capture: StoredCapture,
  scan: SecretScan,
  { diskOnly = false, allow = [] }: PublishOptions = {},
): StoredCapture {
  const counted = scan.findings.filter(({ kind, masked }) => masked || !allow.includes(kind));
  const { id } = capture;
  const { memory } = capture.manifest;
  const disk = withoutMemory(capture);
  const leaves = (part: string): boolean =>
    part.startsWith(BASE_PREFIX) || disk.manifest.parts.some(({ name }) => name === part);
  const inMemoryOnly = memory === "difference" && !counted.some(({ part }) => leaves(part));
  if (inMemoryOnly && diskOnly) return disk;
  if (counted.length === 0) {
    if (!diskOnly || memory === "none") return capture;
    throw new EngineError(
      "unsupported",
      `${id} has no memory of its own to leave out: its memory is in its base snapshot`,
      {
        hint: "leave out --disk-only",
      },
    );
  }
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

/** Of the memory, or of the checkpoint. */
export function isMemoryPart(name: string): boolean {
  return /^(pages|devices|before-)/.test(name);
}

/** The same capture without its memory and its checkpoint: its disk can be booted and read. The stored one stays as it is. */
export function withoutMemory(capture: StoredCapture): StoredCapture {
  const { manifest } = capture;
  const parts = manifest.parts.filter(({ name }) => !isMemoryPart(name));
  return { ...capture, manifest: { ...manifest, memory: "none", parts } };
}

/** `TOKEN ×3 in memory`, `TOKEN ×3 in the base's memory`. */
export function describeFinding({ kind, count, where, part }: Finding): string {
  const place = where === "log" ? "the case file" : where;
  return `${kind} ×${count} in ${part.startsWith(BASE_PREFIX) ? "the base's " : ""}${place}`;
}

function pagesOf({ pages }: Finding): string {
  return pages.length === 0 ? "" : `, page ${pages.join(", ")}`;
}
