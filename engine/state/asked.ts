/**
 * The request that something was made for, in a file of its folder that is published with it. A repeated request finds what the first one
 * made, also after a daemon that was killed before it could answer.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { readRecord, recordKind, writeRecord } from "./record.ts";

/** No part of a snapshot or capture: it does not leave the host. */
export const ASKED_FILE = "asked.json";

const askedKind = recordKind(
  "request",
  z.object({
    /** The request's id. */
    request: z.string(),
    /** Of a live freeze: what its answer says beside the snapshot. */
    pauseMs: z.number().default(0),
    converged: z.boolean().default(true),
  }),
);
export type Asked = z.infer<typeof askedKind.shape>;

/** Before the folder is published. */
export async function writeAsked(folder: string, asked: z.input<typeof askedKind.shape>): Promise<void> {
  const value = askedKind.shape.parse(asked);
  await writeRecord(join(folder, ASKED_FILE), askedKind, value, { survives: "power-loss" });
}

/** The entry of a folder that was made for this request, published or not; null when there is none. */
export async function findAsked(
  dir: string,
  request: string,
): Promise<{ name: string; asked: Asked } | null> {
  const names = await readdir(dir).catch(() => []);
  const found = await Promise.all(
    names.map(async (name) => {
      const read = await readRecord(join(dir, name, ASKED_FILE), askedKind);
      return read.state === "ok" && read.value.request === request ? { name, asked: read.value } : null;
    }),
  );
  return found.find((one) => one !== null) ?? null;
}
