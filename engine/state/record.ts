/**
 * Records: JSON files of the state folder, each with the version of its shape in `schema`. A record of an older version is migrated when it
 * is read; one that this version cannot read is told apart from one that is absent, so that nothing is deleted for it.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import type { z } from "zod";
import { type WriteOptions, writeWhole } from "../../durable/write.ts";

/** Changes a record of version n to one of version n + 1. Pure. */
export type MigrationStep = (old: Record<string, unknown>) => Record<string, unknown>;

export interface RecordKind<S extends z.ZodObject = z.ZodObject> {
  /** Singular, for messages: `sandbox record`. */
  name: string;
  /** The present version's. It may leave `schema` out: that is read and written here. */
  shape: S;
  /** The present version is their number plus one. The first takes version 1. */
  steps: readonly MigrationStep[];
}

/**
 * `io`: the system could not read it now, and may later. `newer`: a newer thaw wrote it. `damaged`: it is cut off, empty or of no shape that
 * was ever written.
 */
export type UnreadableCause = "io" | "newer" | "damaged";
export interface Unreadable {
  state: "unreadable";
  cause: UnreadableCause;
  /** A clause in words, without the path: `is empty`. */
  reason: string;
}
export type Read<T> = { state: "ok"; value: T } | { state: "absent" } | Unreadable;

/** A record has a few kilobytes; the largest, with thousands of sealed secrets, a few megabytes. */
const MAX_BYTES = 32 << 20;

export function recordKind<S extends z.ZodObject>(
  name: string,
  shape: S,
  steps: readonly MigrationStep[] = [],
): RecordKind<S> {
  return { name, shape, steps };
}

/** Reads a record and migrates it to the present version. Never throws. */
export async function readRecord<S extends z.ZodObject>(
  path: string,
  kind: RecordKind<S>,
): Promise<Read<z.infer<S>>> {
  const read = await readBounded(path).then(
    (text) => () => text,
    (error: unknown) => () => {
      throw error;
    },
  );
  return judge(read, kind);
}

/**
 * As `readRecord`, while everybody waits: before the daemon listens. It takes a quarter of the time, and holds up whatever else is to be done. A
 * pipe in a record's place holds up nobody.
 */
export function readRecordNow<S extends z.ZodObject>(path: string, kind: RecordKind<S>): Read<z.infer<S>> {
  return judge(() => readBoundedNow(path), kind);
}

/** As `readRecord`, of a record's text. */
export function parseRecord<S extends z.ZodObject>(text: string, kind: RecordKind<S>): Read<z.infer<S>> {
  if (text.trim() === "") return damaged("is empty");
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return damaged("is cut off, or not valid JSON");
  }
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return damaged("is not a JSON object");
  return migrate(raw as Record<string, unknown>, kind);
}

/** Writes a record of the present version in one step. */
export async function writeRecord<S extends z.ZodObject>(
  path: string,
  kind: RecordKind<S>,
  value: z.infer<S>,
  options: WriteOptions,
): Promise<void> {
  const record = { schema: kind.steps.length + 1, ...value };
  await writeWhole(path, `${JSON.stringify(record)}\n`, options);
}

/** The value; null when it is absent or unreadable. Only for what is remade when it is lost. */
export function valueOrNull<T>(read: Read<T>): T | null {
  return read.state === "ok" ? read.value : null;
}

/** @param read gives the text, null for one that is too long, or throws what the file system says */
function judge<S extends z.ZodObject>(read: () => string | null, kind: RecordKind<S>): Read<z.infer<S>> {
  let text: string | null;
  try {
    text = read();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return { state: "absent" };
    if (code === "EISDIR") return damaged("is a folder");
    return { state: "unreadable", cause: "io", reason: `can't be read: ${message}` };
  }
  return text === null ? damaged(`has more than ${MAX_BYTES} bytes`) : parseRecord(text, kind);
}

function migrate<S extends z.ZodObject>(
  raw: Record<string, unknown>,
  { shape, steps }: RecordKind<S>,
): Read<z.infer<S>> {
  const present = steps.length + 1;
  // Records of the first version had no number.
  const { schema = 1, ...rest } = raw;
  if (typeof schema !== "number" || !Number.isInteger(schema) || schema < 1)
    return damaged("has no valid schema version");
  if (schema > present)
    return {
      ...{ state: "unreadable", cause: "newer" },
      reason: `was written by a newer thaw: schema ${schema}, this version reads up to ${present}`,
    };
  try {
    const value = steps.slice(schema - 1).reduce((old, step) => step(old), rest);
    const parsed = shape.safeParse("schema" in shape.shape ? { ...value, schema: present } : value);
    if (parsed.success) return { state: "ok", value: parsed.data };
    return damaged(describe(parsed.error));
  } catch (error) {
    return damaged(`can't be migrated from schema ${schema}: ${(error as Error).message}`);
  }
}

function damaged(reason: string): Unreadable {
  return { state: "unreadable", cause: "damaged", reason };
}

/** The first mistake. Keys come from the file: they are escaped and kept short. */
function describe(error: z.ZodError): string {
  const [issue] = error.issues;
  const at = JSON.stringify(issue?.path.join(".") ?? "").slice(0, 100);
  return `has a shape that this version does not know, at ${at}: ${issue?.message.slice(0, 200)}`;
}

/** Null when it is larger than any record. */
async function readBounded(path: string): Promise<string | null> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    return size > MAX_BYTES ? null : await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

function readBoundedNow(path: string): string | null {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return fstatSync(file).size > MAX_BYTES ? null : readFileSync(file, "utf8");
  } finally {
    closeSync(file);
  }
}
