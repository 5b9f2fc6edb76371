import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";
import { fetchFrom } from "./bring.ts";
import type { ReadFlags } from "./flags.ts";

type Kind = "capture" | "snapshot";
interface PullFlags extends ReadFlags {
  tag?: string;
  json?: boolean;
}

/** `thaw capture pull`, `thaw snapshot pull`: prints its id, or the tag that it was given. */
export async function pullFrom(kind: Kind, reference: string, flags: PullFlags): Promise<void> {
  await withClient(async (client) => {
    const pulled = await fetchFrom(client, kind, reference, flags);
    if (flags.tag !== undefined) await client.snapshots.tag(pulled.id, flags.tag);
    if (flags.json === true) printJson(pulled);
    else writeOut(`${flags.tag ?? pulled.id}\n`);
  });
}

/** `thaw capture import`, `thaw snapshot import`. */
export async function importFrom(kind: Kind, file: string, flags: PullFlags): Promise<void> {
  const found = await stat(file).catch(() => null);
  if (found === null || !found.isFile())
    throw new ThawError("usage", `${file} is ${found === null ? "not there" : "no file"}`, {
      hint:
        found?.isDirectory() === true ? `thaw ${kind} pull dir:${file}` : `thaw ${kind} export writes one`,
    });
  await pullFrom(kind, resolve(file), flags);
}
