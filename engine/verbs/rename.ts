import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";

/** Gives a sandbox another name; its guest keeps the hostname that it has. Throws `conflict` when the name is taken. */
export async function rename(
  { registry, audit, events }: Parts,
  reference: string,
  name: string,
): Promise<Sandbox> {
  const sandbox = registry.find(reference);
  const { id, record } = sandbox;
  const before = record.name;
  if (before === name) return sandbox;
  registry.claim(name);
  record.name = name;
  try {
    await sandbox.persist();
  } catch (error) {
    record.name = before;
    registry.release(name);
    throw error;
  }
  registry.release(before);
  audit.note("rename", name, { id, before });
  events.append({ type: "sandbox.renamed", target: id, name, sandbox: id, details: { before } });
  return sandbox;
}
