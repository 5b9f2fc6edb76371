/** Makes the id of a request that creates something, or of an exec. Loads node:crypto only where it is needed. */
export function newRequestId(): string {
  return process.getBuiltinModule("node:crypto").randomBytes(10).toString("hex");
}
