/** The last lines of a failure's output. */

/** How many a capture keeps. */
export const MAX_LAST_LINES = 200;

/** What varies in them while the failure is the same: terminal colours, lengths of masked values, addresses, digests, temporary paths, numbers. */
const VARYING: readonly [RegExp, string][] = [
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
  [/\u001b\[[0-9;?]*[ -/]*[@-~]/g, ""],
  [/\*{3,}/g, "***"],
  [/0x[0-9a-f]+/gi, "ADDRESS"],
  [/\b[0-9a-f]{7,64}\b/gi, "DIGEST"],
  [/\/tmp\/[^\s:'"]+/g, "/tmp/…"],
  [/\d+/g, "N"],
];

/** A line with a word in place of each part that varies from run to run. */
export function withoutVarying(line: string): string {
  return VARYING.reduce((text, [pattern, by]) => text.replace(pattern, by), line).trim();
}
