import { InvalidArgumentError } from "commander";
import { USER_PATTERN } from "../../api/patterns.ts";

/** Checks `name`, `uid`, `name:group` or `uid:gid`; whether there is such a user is the guest's to say. */
export function parseUser(text: string): string {
  if (USER_PATTERN.test(text)) return text;
  throw new InvalidArgumentError("It is not a user: write NAME, UID, NAME:GROUP or UID:GID.");
}
