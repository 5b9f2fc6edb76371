import { EngineError } from "../errors.ts";
import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";

const MAX_LABELS = 256;

/** Sets labels of a sandbox; null removes one. Throws `usage` when there would be too many. */
export async function label(
  { registry, audit, events }: Parts,
  reference: string,
  changes: Readonly<Record<string, string | null>>,
): Promise<Sandbox> {
  const sandbox = registry.find(reference);
  const { id, record } = sandbox;
  await sandbox.change(() => {
    const before = record.labels;
    const kept = Object.entries({ ...before, ...changes }).filter(
      (entry): entry is [string, string] => entry[1] !== null,
    );
    if (kept.length > MAX_LABELS)
      throw new EngineError(
        "usage",
        `sandbox ${record.name} would have ${kept.length} labels; the limit is ${MAX_LABELS}`,
      );
    record.labels = Object.fromEntries(kept);
    return () => {
      record.labels = before;
    };
  });
  audit.note("label", record.name, { id, labels: changes });
  events.append({
    ...{ type: "sandbox.labelled", target: id, name: record.name, sandbox: id },
    details: { labels: record.labels },
  });
  return sandbox;
}
