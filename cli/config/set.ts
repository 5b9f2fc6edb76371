import type { PoolList } from "../../client/index.ts";
import { ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";
import { formatPools } from "../pool/list.ts";

const POOL = /^pool\.(.+)$/;

/** `thaw config set`. */
export async function set(key: string, value: string, flags: { json?: boolean }): Promise<void> {
  const changed = await change(key, value);
  if (flags.json === true) printJson(changed.pools);
  else writeOut(formatPools(changed.pools));
}

function change(key: string, value: string): Promise<PoolList> {
  const name = POOL.exec(key)?.[1];
  if (name !== undefined) {
    const size = /^\d{1,2}$/.test(value) ? Number(value) : Number.NaN;
    if (!(size <= 64))
      throw new ThawError("usage", `${key} is a number of machines from 0 to 64, not ${value}`, {
        hint: `thaw config set ${key} 2`,
      });
    return withClient((client) => client.pools.resize(name, { size }));
  }
  if (key !== "pool")
    throw new ThawError("usage", `${key} can't be set by this command`, {
      hint: "edit config.yaml on the host; thaw doctor names its path",
    });
  if (value !== "auto" && value !== "off")
    throw new ThawError("usage", `pool is auto or off, not ${value}`, {
      hint: "thaw config set pool.base 2",
    });
  return withClient((client) => client.pools.setMode(value));
}
