import { ThawError } from "../../client/index.ts";

/** @throws ThawError `usage` unless exactly one of the fields is given */
export function exactlyOne(fields: Record<string, unknown>): void {
  const given = Object.values(fields).filter((value) => value !== undefined).length;
  if (given !== 1) throw new ThawError("usage", `give one of ${Object.keys(fields).join(" and ")}`);
}
