/** Looks for secrets in the parts of a capture: values that were said to be secret, and the shapes of well-known tokens. */

import { createReadStream } from "node:fs";
import { join } from "node:path";
import type { Finding, SecretScan } from "../../api/case-file.ts";
import type { SecretMatcher } from "../secrets/matcher.ts";
import { BEFORE_MARK, findTokens, LONGEST_TOKEN } from "../secrets/tokens.ts";
import { BASE_PREFIX, type CapturePart } from "./case-file.ts";
import { PAGE_BYTES, PageIndex } from "./page-index.ts";
import { readPart } from "./parts.ts";

/** What is read of a capture or a snapshot. */
export interface Scanned<P extends { name: string } = { name: string }> {
  dir: string;
  manifest: { parts: readonly P[] };
}

/** Findings of one kind whose places are kept. */
const KEPT_PLACES = 16;

/**
 * Reads all that would leave the host with it. Throws when a part can't be read, or is not what the manifest says.
 * @param base the snapshot that leaves with it, when what ran in a sandbox is in that too, else null
 */
export async function scanCapture(
  { dir, manifest }: Scanned<CapturePart>,
  base: Scanned | null,
  matcher: SecretMatcher | null,
  signal: AbortSignal,
): Promise<SecretScan> {
  const findings: Finding[] = [];
  for (const part of manifest.parts) {
    const search = new Search(matcher);
    const index = part.name.endsWith("pages.zst") ? new PageIndex() : null;
    const look = (chunk: Buffer): void => {
      index?.take(chunk);
      search.take(chunk);
    };
    await readPart(join(dir, part.name), part, look, signal);
    const pageAt = (place: number) => index?.pageAt(place);
    findings.push(...search.end().map((one) => describe(one, part.name, pageAt)));
  }
  for (const { name } of base?.manifest.parts ?? []) {
    const search = new Search(matcher);
    const path = join(base?.dir ?? "", name);
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal }))
      search.take(chunk as Buffer);
    const pageAt = (place: number) => (name === "memory" ? Math.floor(place / PAGE_BYTES) : undefined);
    findings.push(...search.end().map((one) => describe(one, `${BASE_PREFIX}${name}`, pageAt)));
  }
  return { at: new Date().toISOString(), findings };
}

function describe(
  { kind, masked, count, places }: Found,
  part: string,
  pageAt: (place: number) => number | undefined,
): Finding {
  const pages = places.map(pageAt).filter((page) => page !== undefined);
  return { kind, where: whereOf(part), part, count, masked, pages: [...new Set(pages)] };
}

function whereOf(part: string): Finding["where"] {
  switch (part.replace(BASE_PREFIX, "").replace(/^before-/, "")) {
    case "case.json":
      return "log";
    case "request.json":
      return "request";
    case "workspace.zst":
      return "workspace";
    case "pages.zst":
    case "devices.zst":
    case "memory":
    case "devices":
      return "memory";
    default:
      return "disk";
  }
}

export interface Found {
  kind: string;
  masked: boolean;
  count: number;
  /** Offsets of the first ones. */
  places: number[];
}

/** Looks at bytes as they come; what lies across two chunks is found too. */
export class Search {
  readonly #matcher: SecretMatcher | null;
  readonly #overlap: number;
  readonly #found = new Map<string, Found>();
  /** Seen, but not done with; begins at `#offset`. */
  #rest: Buffer = Buffer.alloc(0);
  #offset = 0;
  /** What begins before this is counted. */
  #done = 0;

  constructor(matcher: SecretMatcher | null) {
    this.#matcher = matcher;
    this.#overlap = Math.max(LONGEST_TOKEN, matcher?.longest ?? 0);
  }

  take(chunk: Buffer): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    this.#look(bytes, Math.max(0, bytes.length - this.#overlap));
  }

  end(): Found[] {
    this.#look(this.#rest, this.#rest.length);
    return [...this.#found.values()];
  }

  /** Counts what begins before `until`. */
  #look(bytes: Buffer, until: number): void {
    const end = this.#offset + until;
    const note = (kind: string, masked: boolean, start: number): void => {
      const place = this.#offset + start;
      if (place < this.#done || place >= end) return;
      const key = `${masked}:${kind}`;
      const found = this.#found.get(key) ?? { kind, masked, count: 0, places: [] };
      found.count += 1;
      if (found.places.length < KEPT_PLACES) found.places.push(place);
      this.#found.set(key, found);
    };
    for (const { name, start } of this.#matcher?.find(bytes) ?? []) note(name, true, start);
    for (const { kind, start } of findTokens(bytes)) note(kind, false, start);
    this.#done = end;
    const keepFrom = Math.max(0, until - BEFORE_MARK);
    this.#offset += keepFrom;
    this.#rest = bytes.subarray(keepFrom);
  }
}
