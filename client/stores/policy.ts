/** `$XDG_CONFIG_HOME/thaw/stores.yaml`: what goes for a store whatever a command line says. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { ThawError } from "../errors.ts";
import { canonicalRegistry } from "./registry/name.ts";

export interface StorePolicy {
  /** Recipients that whatever is pushed there is encrypted to. */
  encryptTo: readonly string[];
  plainHttp: boolean;
  /** The file has an entry for it: the user knows this store. */
  isNamed: boolean;
}

const none: StorePolicy = { encryptTo: [], plainHttp: false, isNamed: false };

/**
 * The first entry whose `store` is the store's name or a beginning of it at a slash. @throws ThawError `usage` when the file is not of its shape:
 * a policy that is not understood is not passed over.
 */
export async function findPolicy(
  name: string,
  env: Record<string, string | undefined> = process.env,
): Promise<StorePolicy> {
  const path = join(env.XDG_CONFIG_HOME || join(env.HOME || homedir(), ".config"), "thaw", "stores.yaml");
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw new ThawError("usage", `can't read ${path}: ${error.message}`, { cause: error });
  });
  if (text === null) return none;
  const { parse } = await import("./yaml.ts");
  const fault = (why: string): ThawError =>
    new ThawError("usage", `${path}: ${why}`, {
      hint: "stores: [{store: oci:registry.example/failures, encryptTo: [age1…]}]",
    });
  let stores: unknown;
  try {
    ({ stores } = (parse(text) ?? {}) as { stores?: unknown });
  } catch (error) {
    throw fault((error as Error).message.split("\n", 1)[0] ?? "is not YAML");
  }
  if (stores === undefined) return none;
  if (!Array.isArray(stores)) throw fault("stores is no list");
  for (const entry of stores as Record<string, unknown>[]) {
    const { store, encryptTo = [], plainHttp = false, ...others } = entry ?? {};
    const [odd] = Object.keys(others);
    if (odd !== undefined) throw fault(`there is no such key: ${odd}`);
    if (typeof store !== "string") throw fault("an entry has no store");
    if (!Array.isArray(encryptTo) || !encryptTo.every((one) => typeof one === "string"))
      throw fault(`${store}: encryptTo is no list of recipients`);
    if (typeof plainHttp !== "boolean") throw fault(`${store}: plainHttp is neither true nor false`);
    if (covers(store, name)) return { encryptTo, plainHttp, isNamed: true };
  }
  return none;
}

/** Whether a policy for `store` goes for the store `name`, however the registry's host is written. */
function covers(store: string, name: string): boolean {
  const written = store.replace(/\/$/, "");
  const scope = written.replace(/^oci:([^/]+)/, (_, host: string) => `oci:${canonicalRegistry(host)}`);
  return name === scope || name.startsWith(`${scope}/`);
}
