import { randomBytes } from "node:crypto";

/** Makes the id of a request that creates something, or of an exec. Not by web crypto, which takes Node a millisecond to load. */
export function newRequestId(): string {
  return randomBytes(10).toString("hex");
}
