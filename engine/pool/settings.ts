/** What the operator's configuration says of pools, changed in the file itself: its comments and all else stay. */
import { isMap, parseDocument } from "yaml";
import type { PoolMode, PoolSize } from "../../api/pool.ts";
import { writeWhole } from "../../durable/write.ts";
import { type HostConfig, parseConfig, readConfigText } from "../config.ts";

/** @param size 0: the pool ends. Throws `host-not-ready` with every mistake that the file has already. */
export function setPoolSize(config: HostConfig, name: string, wanted: PoolSize): Promise<void> {
  const { size, cpus, memoryMib } = wanted;
  const memory = memoryMib === undefined ? {} : { memory: `${memoryMib}MiB` };
  const value =
    cpus === undefined && memoryMib === undefined
      ? size
      : { size, ...(cpus === undefined ? {} : { cpus }), ...memory };
  return change(config, (document) => {
    const sizes = document.get("pool");
    if (!isMap(sizes)) document.set("pool", document.createNode({}));
    if (size === 0) document.deleteIn(["pool", name]);
    else document.setIn(["pool", name], value);
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
    await writeWhole(config.path, text, { survives: "power-loss" });
    config.required();
  });
  last = changed.catch(() => {});
  await changed;
}
