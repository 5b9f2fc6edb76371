/** What the operator's configuration says of pools, changed in the file itself: its comments and all else stay. */
import { realpath, stat } from "node:fs/promises";
import { isMap, parseDocument } from "yaml";
import { defined } from "../../api/defined.ts";
import type { PoolMode, PoolSize } from "../../api/pool.ts";
import { writeWhole } from "../../durable/write.ts";
import { type HostConfig, parseConfig, readConfigText } from "../config.ts";

/** Of what is left out, what the file says stays. @param size 0: the pool ends. Throws `host-not-ready` with every mistake that the file has already. */
export function setPoolSize(config: HostConfig, name: string, wanted: PoolSize): Promise<void> {
  const { size, cpus, memoryMib } = wanted;
  const memory = memoryMib === undefined ? undefined : `${memoryMib}MiB`;
  return change(config, (document) => {
    if (!isMap(document.get("pool"))) document.set("pool", document.createNode({}));
    const at = ["pool", name];
    if (size === 0) document.deleteIn(at);
    else if (isMap(document.getIn(at)) || cpus !== undefined || memory !== undefined) {
      if (!isMap(document.getIn(at))) document.setIn(at, document.createNode({}));
      for (const [key, value] of Object.entries(defined({ size, cpus, memory })))
        document.setIn([...at, key], value);
    } else document.setIn(at, size);
  });
}

export function setPoolMode(config: HostConfig, { mode }: PoolMode): Promise<void> {
  return change(config, (document) => {
    if (mode === "auto") document.set("pool", "auto");
    else document.delete("pool");
  });
}

/** One change at a time: each starts from the file as the one before has left it. */
let last: Promise<void> = Promise.resolve();

async function change(
  config: HostConfig,
  edit: (document: ReturnType<typeof parseDocument>) => void,
): Promise<void> {
  const changed = last.then(async () => {
    config.required();
    const document = parseDocument(readConfigText(config.path));
    if (document.contents === null) document.contents = document.createNode({}) as never;
    edit(document);
    const text = document.toString();
    parseConfig(text, config.path);
    const { path, mode } = await placeOf(config.path);
    await writeWhole(path, text, { survives: "power-loss", mode });
    config.required();
  });
  last = changed.catch(() => {});
  await changed;
}

/** The file itself, where the path is a link to it, and who may read it. */
async function placeOf(path: string): Promise<{ path: string; mode: number }> {
  try {
    const real = await realpath(path);
    return { path: real, mode: (await stat(real)).mode & 0o777 };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { path, mode: 0o644 };
    throw error;
  }
}
