/** Who a machine is after a thaw. Clones of one snapshot are twins until they are told otherwise. */
import { randomBytes, randomUUID } from "node:crypto";
import type { Identity } from "../../runners/agent/messages.ts";

export function freshIdentity(hostname: string): Identity {
  return {
    timeNs: (BigInt(Date.now()) * 1_000_000n).toString(),
    entropy: randomBytes(64).toString("base64"),
    hostname,
    machineId: randomBytes(16).toString("hex"),
    bootId: randomUUID(),
  };
}
