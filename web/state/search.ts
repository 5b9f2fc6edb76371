/** What an address says behind its `?`: plain text by name. Every view reads what it knows of it, and drops the rest. */

import { matches as matchesExactly } from "../../api/matches.ts";

export type Search = Record<string, string>;

const MAX_VALUE = 1024;

export function parseSearch(text: string): Search {
  return Object.fromEntries(new URLSearchParams(text));
}

export function stringifySearch(search: Record<string, unknown>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(search))
    if (typeof value === "string" && value !== "") query.set(name, value);
  return query.size === 0 ? "" : `?${query}`;
}

/** Of what came, the texts of these names. */
export function pick<K extends string>(
  search: Record<string, unknown>,
  names: readonly K[],
): { [P in K]?: string } {
  const found: { [P in K]?: string } = {};
  for (const name of names) {
    const value = search[name];
    if (typeof value === "string" && value !== "") found[name] = value.slice(0, MAX_VALUE);
  }
  return found;
}

/** One of these texts, else the first. */
export function oneOf<T extends string>(value: string | undefined, all: readonly [T, ...T[]]): T {
  return all.find((each) => each === value) ?? all[0];
}

/** As the dashboard's filter has it, whatever the case of the letters. */
export function matches(text: string, wanted: string): boolean {
  return matchesExactly(text.toLowerCase(), wanted.toLowerCase());
}
