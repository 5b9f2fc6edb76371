import { InvalidArgumentError } from "commander";

const KEYS = ["name", "state", "from", "id", "label"] as const;
type Key = (typeof KEYS)[number];

/** What a list is narrowed to: of each key one value at least. */
export type Filters = readonly { key: Key; value: string }[];

/** Adds `KEY=VALUE`; `status` and `ancestor`, as docker calls them, are state and from. */
export function collectFilter(text: string, before: Filters = []): Filters {
  const at = text.indexOf("=");
  const said = text.slice(0, Math.max(0, at));
  const key = { status: "state", ancestor: "from" }[said] ?? said;
  const value = text.slice(at + 1);
  const known = KEYS.find((one) => one === key);
  if (known === undefined || value === "")
    throw new InvalidArgumentError(`Write KEY=VALUE, where KEY is one of: ${KEYS.join(", ")}.`);
  return [...before, { key: known, value }];
}

/** Whether something passes: for each key that is filtered by, one of its values fits. Labels fit as `K` or `K=V`; all of them must. */
export function passes(
  row: { name: string; state: string; from: string; id: string; labels: Readonly<Record<string, string>> },
  filters: Filters,
): boolean {
  return KEYS.every((key) => {
    const values = filters.filter((filter) => filter.key === key).map(({ value }) => value);
    if (values.length === 0) return true;
    if (key !== "label") return values.some((value) => row[key].startsWith(value));
    return values.every((value) => {
      const at = value.indexOf("=");
      return at < 0
        ? Object.hasOwn(row.labels, value)
        : row.labels[value.slice(0, at)] === value.slice(at + 1);
    });
  });
}
