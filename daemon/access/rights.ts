/** What each right allows. Pure. */
import { type Rights, rights } from "../../api/token.ts";

const ORDER = rights.options;

/** `none`: a route that needs no rights, or somebody who has none. */
export function allows(has: Rights | "none", needs: Rights | "none"): boolean {
  return ORDER.indexOf(has as Rights) >= ORDER.indexOf(needs as Rights);
}

export function lesser(one: Rights, other: Rights): Rights {
  return allows(one, other) ? other : one;
}
