/**
 * Tells when a machine's disk has grown: by QEMU's write threshold on the file that its top overlay is written to, which costs nothing until it
 * is reached. The file changes with every cut of the disk and every flattening; then the watch has to be set anew.
 */
import { asObject, type QmpClient, type QmpEvent } from "./qmp.ts";

/** Whether an event says that a threshold was reached. It comes once; QEMU has forgotten the threshold by then. */
export function isGrowth(event: QmpEvent): boolean {
  return event.name === "BLOCK_WRITE_THRESHOLD";
}

/** Sets the threshold `bytes` beyond the present end of each file that the machine writes its disk to. */
export async function watchGrowth(qmp: QmpClient, bytes: number): Promise<void> {
  const nodes: unknown = await qmp.execute("query-named-block-nodes", { flat: true });
  for (const value of Array.isArray(nodes) ? nodes : []) {
    const node = asObject(value);
    if (node.drv !== "file" || node.ro !== false) continue;
    // Of a node of this driver it is the length of the file: qcow2 grows at its end.
    const length = Number(asObject(node.image)["virtual-size"]);
    const threshold = { "node-name": node["node-name"], "write-threshold": length + bytes };
    await qmp.execute("block-set-write-threshold", threshold);
  }
}
