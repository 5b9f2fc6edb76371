/** Who a machine is after a thaw. Clones of one snapshot are twins until they are told otherwise. */
import { randomBytes, randomUUID } from "node:crypto";
import type { Identity } from "../../runners/agent/messages.ts";

/** @param machineId what it was before, when the same sandbox goes on. The boot is another one all the same: the agent tells by it. */
export function freshIdentity(hostname: string, machineId: string | null = null): Identity {
  return {
    timeNs: (BigInt(Date.now()) * 1_000_000n).toString(),
    entropy: randomBytes(64).toString("base64"),
    hostname,
    machineId: machineId ?? randomBytes(16).toString("hex"),
    bootId: randomUUID(),
  };
}
