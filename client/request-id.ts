import { randomBytes } from "node:crypto";

/** Makes the id of a request that creates something, or of an exec. */
export function newRequestId(): string {
  return randomBytes(10).toString("hex");
}
