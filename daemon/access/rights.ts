/** What each right allows. Pure. */
import { type Rights, rights } from "../../api/token.ts";

const ORDER = rights.options;

export function allows(has: Rights, needs: Rights): boolean {
  return ORDER.indexOf(has) >= ORDER.indexOf(needs);
}
