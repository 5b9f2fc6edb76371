import type { Parts } from "../parts.ts";
import { hasChanged } from "../sandboxes/changes.ts";
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
  if (record.name === name) return sandbox;
  let before = record.name;
  await sandbox.change(() => {
    before = record.name;
    registry.claim(name);
    record.name = name;
    return () => {
      record.name = before;
      registry.release(name);
    };
  }, request);
  registry.release(before);
  audit.note("rename", name, { id, before });
  events.append({ type: "sandbox.renamed", target: id, name, sandbox: id, details: { before } });
  return sandbox;
}
