/** Edits (insert, delete, replace) from one word to the other. */
export function countEdits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      const replaced = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

/** "did you mean …", for a name that does not exist; else the command that lists those that do. */
export function suggestNearest(given: string, names: readonly string[], otherwise: string): string {
  const near = names
    .map((name) => ({ name, edits: countEdits(given.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, edits }) => edits <= Math.max(2, given.length / 3) || name.startsWith(given))
    .sort((a, b) => a.edits - b.edits)
    .slice(0, 3)
    .map(({ name }) => name);
  return near.length === 0 ? otherwise : `did you mean ${near.join(" or ")}? (${otherwise})`;
}
