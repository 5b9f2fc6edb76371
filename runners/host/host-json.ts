/** `host.json`: what was found out about this host at a cost, with what it was found out for. Losing it costs only time. */
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeWhole } from "../../durable/write.ts";

const FILE = "host.json";
/** Writes of this process by state folder: each reads what the one before wrote. */
const writes = new Map<string, Promise<void>>();

/** A remembered section's value, when `key` is the one it was remembered for and `check` accepts it. */
export function recall<T>(
  home: string,
  section: string,
  key: string,
  check: (value: unknown) => T | undefined,
): T | undefined {
  const entry = readAll(home)[section];
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

/** Replaces a section. Other sections stay as they are, also when they are written at the same time by this process. */
export function remember(home: string, section: string, key: string, value: unknown): Promise<void> {
  const write = async (): Promise<void> => {
    await mkdir(home, { recursive: true });
    const all = { ...readAll(home), [section]: { key, value } };
    const text = `${JSON.stringify(all, null, 2)}\n`;
    await writeWhole(join(home, FILE), text, { survives: "power-loss" });
  };
  const done = (writes.get(home) ?? Promise.resolve()).then(write);
  writes.set(
    home,
    done.catch(() => {}),
  );
  return done;
}

/** Every thaw asks, several times: a small file is read sooner here than by a thread of Node's. */
function readAll(home: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(join(home, FILE), "utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
