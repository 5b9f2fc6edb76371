/** A machine's memory as a file that debuggers open. */
import { join } from "node:path";
import { DISK_DIR, readChain } from "../disk/chain.ts";
import type { LiveSource } from "../machine.ts";

const TIMEOUT_MS = 120_000;
const CORE_FILE = "memory.core";

/** QEMU writes it into the one folder on disk that its jail may write to. */
export async function dumpMemory({ record, qmp }: LiveSource): Promise<string> {
  const { diskDirInside } = await readChain(record);
  const protocol = `file:${diskDirInside}/${CORE_FILE}`;
  await qmp.execute("dump-guest-memory", { paging: false, protocol }, TIMEOUT_MS);
  return join(record.stateDir, DISK_DIR, CORE_FILE);
}
