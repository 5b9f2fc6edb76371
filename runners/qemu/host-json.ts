/** `host.json`: what was found out about this host at a cost, with what it was found out for. Losing it costs only time. */
import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

const FILE = "host.json";

/** A remembered section's value, when `key` is the one it was remembered for and `check` accepts it. */
export async function recall<T>(
  home: string,
  section: string,
  key: string,
  check: (value: unknown) => T | undefined,
): Promise<T | undefined> {
  const entry = (await readAll(home))[section];
  if (
    typeof entry !== "object" ||
    entry === null ||
    !("key" in entry) ||
    entry.key !== key ||
    !("value" in entry)
  )
    return undefined;
  return check(entry.value);
}

/** Replaces a section. Sections of others are kept. */
export async function remember(home: string, section: string, key: string, value: unknown): Promise<void> {
  await mkdir(home, { recursive: true });
  const all = { ...(await readAll(home)), [section]: { key, value } };
  const tmp = join(home, `${FILE}.${randomUUID()}.tmp`);
  await writeFile(tmp, `${JSON.stringify(all, null, 2)}\n`);
  await rename(tmp, join(home, FILE));
}

async function readAll(home: string): Promise<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(await readFile(join(home, FILE), "utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
