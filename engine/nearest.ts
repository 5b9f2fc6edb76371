/** Suggestions for a name that does not exist. */

/** "did you mean …", or the command that lists what there is. */
export function nearest(given: string, names: string[], otherwise: string): string {
  const close = names
    .map((name) => ({ name, away: distance(given.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, away }) => away <= Math.max(2, given.length / 3) || name.startsWith(given))
    .sort((a, b) => a.away - b.away)
    .slice(0, 3);
  if (close.length === 0) return otherwise;
  return `did you mean ${close.map(({ name }) => name).join(" or ")}? (${otherwise})`;
}

/** Edits (insert, delete, replace) from one to the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
