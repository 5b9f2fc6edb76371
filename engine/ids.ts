/** Ids of sandboxes, execs, machines and drafts. */
import { randomBytes } from "node:crypto";

/** Ten characters of an alphabet without look-alikes. */
export function randomId(): string {
  const alphabet = "23456789abcdefghjkmnpqrstuvwxyz";
  return [...randomBytes(10)].map((byte) => alphabet[byte % alphabet.length]).join("");
}
