import type { Parts } from "../parts.ts";
import { forgetChange, hasChanged, noteChange } from "../sandboxes/changes.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";

/**
 * Gives a sandbox another name; its guest keeps the hostname that it has. Throws `conflict` when the name is taken.
 * @param request its id: asked again, the sandbox is found by that, as the old name leads nowhere any more
 */
export async function rename(
  { registry, audit, events }: Parts,
  reference: string,
  { name, request }: { name: string; request?: string | undefined },
): Promise<Sandbox> {
  const renamed = registry.present.find(({ record }) => hasChanged(record, request));
  if (renamed !== undefined) return renamed;
  const sandbox = registry.find(reference);
  const { id, record } = sandbox;
  const before = record.name;
  if (before === name) return sandbox;
  registry.claim(name);
  record.name = name;
  noteChange(record, request);
  try {
    await sandbox.persist();
  } catch (error) {
    forgetChange(record, request);
    // Somebody may have renamed it once more meanwhile.
    if (record.name === name) record.name = before;
    registry.release(name);
    throw error;
  }
  registry.release(before);
  audit.note("rename", name, { id, before });
  events.append({ type: "sandbox.renamed", target: id, name, sandbox: id, details: { before } });
  return sandbox;
}
