/** A list of sandboxes as JSON text. A sandbox's text is kept until something of it changes: of a thousand, most did not. */
import type { Sandbox } from "../api/schema.ts";

const texts = new WeakMap<object, { key: string; text: string }>();

/** @param of whose view it is, by identity */
export function sandboxText(of: object, view: Sandbox): string {
  const key = changing(view);
  const known = texts.get(of);
  if (known?.key === key) return known.text;
  const text = JSON.stringify(view);
  texts.set(of, { key, text });
  return text;
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
