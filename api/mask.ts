/** The daemon looks for no shorter secrets: they would be found everywhere. */
export const MIN_SECRET_BYTES = 6;

/** Names whose values are too short to be masked. */
export function findShort(secrets: Readonly<Record<string, string>>): string[] {
  return Object.entries(secrets)
    .filter(([, value]) => Buffer.byteLength(value) < MIN_SECRET_BYTES)
    .map(([name]) => name);
}
