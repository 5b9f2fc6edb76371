import { InvalidArgumentError } from "commander";

/** Checks `name`, `uid`, `name:group` or `uid:gid`; whether there is such a user is the guest's to say. */
export function parseUser(text: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$/.test(text) && text.length <= 128)
    return text;
  throw new InvalidArgumentError("It is not a user: write NAME, UID, NAME:GROUP or UID:GID.");
}
