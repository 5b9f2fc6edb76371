/**
 * Packages of a machine, as its package manager's own database has them. A guest wrote the database: it is read as text, with limits, and
 * what is not a package's name or version is left out.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { paced } from "../../host/pace.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { readRecord, recordKind, valueOrNull, writeRecord } from "../state/record.ts";

const MAX_DATABASE_BYTES = 16 << 20;
const MAX_RELEASE_BYTES = 16 << 10;
const MAX_PACKAGES = 20_000;
const READ_DEADLINE_MS = 20_000;

const NAME = /^[A-Za-z0-9][A-Za-z0-9+._-]{0,127}$/;
const VERSION = /^[0-9A-Za-z][0-9A-Za-z.+~:_-]{0,127}$/;
const WORD = /^[a-z0-9][a-z0-9._-]{0,31}$/;

/** Name, version, architecture. */
const installedPackage = z.tuple([z.string(), z.string(), z.string()]);
export type InstalledPackage = z.infer<typeof installedPackage>;

/** In the folder of a root file system or a snapshot; no part of it, so it does not travel. */
const PACKAGES_FILE = "packages.json";
const packagesKind = recordKind(
  "packages of a machine",
  z.object({
    manager: z.enum(["dpkg", "apk"]),
    /** Of /etc/os-release: `debian bookworm`, `alpine 3.20.1`; empty when it says nothing. */
    system: z.string(),
    packages: z.array(installedPackage).max(MAX_PACKAGES),
  }),
);
export type Packages = z.infer<typeof packagesKind.shape>;

export async function writePackages(dir: string, packages: Packages): Promise<void> {
  await writeRecord(join(dir, PACKAGES_FILE), packagesKind, packages, { survives: "power-loss" });
}

/** null: nothing was noted of what is in this folder. */
export async function readPackages(dir: string): Promise<Packages | null> {
  return valueOrNull(await readRecord(join(dir, PACKAGES_FILE), packagesKind));
}

/** null when the machine has no database that can be read in time. */
export async function packagesInside(agent: Agent, signal: AbortSignal): Promise<Packages | null> {
  const either = AbortSignal.any([signal, AbortSignal.timeout(paced(READ_DEADLINE_MS))]);
  const read = (path: string, maxBytes: number) =>
    readInside(agent, { path, maxBytes, signal: either }).catch(() => null);
  const system = systemOf((await read("/etc/os-release", MAX_RELEASE_BYTES)) ?? "");
  for (const [manager, path, parse] of [
    ["dpkg", "/var/lib/dpkg/status", parseDpkgStatus],
    ["apk", "/lib/apk/db/installed", parseApkInstalled],
  ] as const) {
    const text = await read(path, MAX_DATABASE_BYTES);
    signal.throwIfAborted();
    const packages = text === null ? null : parse(text);
    if (packages !== null) return { manager, system, packages };
  }
  return null;
}

/** Rejects for more than `maxBytes`, whatever size the guest gave. */
async function readInside(
  agent: Agent,
  { path, maxBytes, signal }: { path: string; maxBytes: number; signal: AbortSignal },
): Promise<string> {
  signal.throwIfAborted();
  const { body } = await agent.readFile(path);
  const abort = (): void => void body.destroy(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > maxBytes) throw new Error(`${path} has more than ${maxBytes} bytes`);
      pieces.push(piece);
    }
  } finally {
    signal.removeEventListener("abort", abort);
    body.destroy();
  }
  return Buffer.concat(pieces).toString("utf8");
}

/** Of /etc/os-release: the distribution and its release. Empty when it does not say them. */
export function systemOf(release: string): string {
  const values = new Map(
    [...release.matchAll(/^([A-Z_]+)=["']?([^"'\n]*)["']?$/gm)].map(([, key = "", value = ""]) => [
      key,
      value,
    ]),
  );
  const id = values.get("ID") ?? "";
  const version = values.get("VERSION_CODENAME") || values.get("VERSION_ID") || "";
  return [id, version].filter((word) => WORD.test(word)).join(" ");
}

/** null: none, or too many. Those that are removed or half installed are left out. */
export function parseDpkgStatus(text: string): InstalledPackage[] | null {
  return packagesOf(
    stanzas(text, /^(Package|Status|Version|Architecture): (.*)$/)
      .filter((fields) => fields.get("Status")?.endsWith(" installed"))
      .map((fields) => [fields.get("Package"), fields.get("Version"), fields.get("Architecture")]),
  );
}

export function parseApkInstalled(text: string): InstalledPackage[] | null {
  return packagesOf(
    stanzas(text, /^([PVA]):(.*)$/).map((fields) => [fields.get("P"), fields.get("V"), fields.get("A")]),
  );
}

/** The lines that `dpkg-query` writes for a root file system: name, version, architecture, state. */
export async function readDpkgQuery(path: string): Promise<InstalledPackage[] | null> {
  const lines = (await readFile(path, "utf8")).split("\n").map((line) => line.split(" "));
  return packagesOf(lines.filter(([, , , state]) => state === "installed"));
}

/** Paragraphs of fields, as far as `field` matches a line of them. */
function stanzas(text: string, field: RegExp): Map<string, string>[] {
  return text.split(/\n\n+/, MAX_PACKAGES + 1).map(
    (paragraph) =>
      new Map(
        paragraph.split("\n").flatMap((line): [string, string][] => {
          const [, key, value] = field.exec(line) ?? [];
          return key === undefined || value === undefined ? [] : [[key, value]];
        }),
      ),
  );
}

function packagesOf(found: readonly (readonly (string | undefined)[])[]): InstalledPackage[] | null {
  if (found.length > MAX_PACKAGES) return null;
  const packages = found.flatMap(([name = "", version = "", architecture = ""]): InstalledPackage[] =>
    NAME.test(name) && VERSION.test(version) && NAME.test(architecture)
      ? [[name, version, architecture]]
      : [],
  );
  return packages.length === 0 ? null : packages;
}
