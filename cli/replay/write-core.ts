import { open, rename, rm } from "node:fs/promises";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { formatSize } from "../format/size.ts";
import { writeErr } from "../output.ts";
import { writeResult } from "../result-file.ts";
import { bring } from "../travel/bring.ts";
import type { ReadFlags } from "../travel/flags.ts";

/** `thaw replay --core FILE`: nothing is left of one that is not whole. @returns 0. */
export async function writeCore(
  capture: string,
  path: string,
  flags: ReadFlags & { json?: boolean },
): Promise<number> {
  const beside = `${path}.part`;
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  let bytes = 0;
  try {
    await withClient(async (client) => {
      const { id } = await client.captures.get(await bring(client, "capture", capture, flags));
      let file: Awaited<ReturnType<typeof open>> | undefined;
      try {
        for await (const chunk of client.captures.core(id, { signal })) {
          file ??= await open(beside, "w", 0o600);
          await file.writeFile(chunk);
          bytes += chunk.length;
        }
      } finally {
        await file?.close();
      }
    });
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  const result = { type: "result", core: path, bytes } as const;
  const written = writeResult(result);
  if (flags.json === true && !written) writeErr(`${JSON.stringify(result)}\n`);
  else writeErr(`thaw: ${path}, ${formatSize(bytes)} · gdb -c ${path}\n`);
  return 0;
}
