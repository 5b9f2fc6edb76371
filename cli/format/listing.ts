import type { Command } from "commander";
import { printJson, writeOut } from "../output.ts";
import { cleanText } from "./clean-text.ts";

/** Flags of every verb that prints a list. */
export interface ListingFlags {
  quiet?: boolean;
  json?: boolean;
}

/** @param what e.g. `the captures`. @param names what names one: `ids`, `names` */
export function addListingFlags(command: Command, what: string, names = "ids"): Command {
  return command.option("-q, --quiet", `print ${names} only`).option("--json", `print ${what} as JSON`);
}

/** Prints a list as JSON, as the name of each alone, or as a table. */
export function printListing<T>(
  items: readonly T[],
  flags: ListingFlags,
  { nameOf, format }: { nameOf: (item: T) => string; format: (items: readonly T[]) => string },
): void {
  if (flags.json === true) printJson(items);
  else if (flags.quiet === true) writeOut(items.map((item) => `${cleanText(nameOf(item))}\n`).join(""));
  else writeOut(format(items));
}
