/** Sandboxes as JSON in UTF-8. A sandbox's bytes are kept until something of it changes: of a thousand, most did not. */
import type { Sandbox } from "../api/schema.ts";

const COMMA = Buffer.from(",");
const kept = new WeakMap<object, { key: string; json: Buffer }>();

/** @param of whose view it is, by identity */
export function sandboxJson(of: object, view: Sandbox): Buffer {
  const key = changing(view);
  const known = kept.get(of);
  if (known?.key === key) return known.json;
  const json = Buffer.from(JSON.stringify(view));
  kept.set(of, { key, json });
  return json;
}

/** An array of values that are JSON already, between two pieces of text. */
export function jsonArray(
  values: readonly Buffer[],
  { before, after }: { before: string; after: string },
): Buffer {
  const parts: Buffer[] = [Buffer.from(`${before}[`)];
  for (const value of values) parts.push(value, COMMA);
  if (values.length > 0) parts.pop();
  parts.push(Buffer.from(`]${after}`));
  return Buffer.concat(parts);
}

/** All that can change in a view while its sandbox is there. */
function changing(view: Sandbox): string {
  const {
    name,
    state,
    reason,
    snapshot,
    leased,
    thawMs,
    frozen,
    isolation,
    next,
    expiresAt,
    idleMs,
    stopAfterMs,
    removeAfterMs,
    execs,
    network,
    ports,
    listening,
    labels,
  } = view;
  let key = `${name} ${state} ${snapshot} ${leased} ${thawMs} ${frozen} ${isolation} ${expiresAt} ${next?.action} ${next?.at} ${network.mode} ${network.unavailable} ${reason} ${JSON.stringify(labels)}`;
  key += ` ${idleMs} ${stopAfterMs} ${removeAfterMs} ${listening.join()}`;
  for (const { address, port, path, guest } of ports) key += ` ${address} ${port} ${path} ${guest}`;
  for (const exec of execs)
    key += `\n${exec.id} ${exec.state} ${exec.endedAt} ${JSON.stringify(exec.captured)}`;
  return key;
}
