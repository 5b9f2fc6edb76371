/** What a sandbox may reach: put together when it is made, changed while it runs. */
import type { z } from "zod";
import type { NetworkLayer, NetworkPolicy, networkRequest } from "../../api/network.ts";
import type { Config } from "../config.ts";
import { EngineError } from "../errors.ts";
import { extended, noNetwork } from "../network/policy.ts";
import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";

/** What a recipe says of its sandboxes. A snapshot says nothing: it may come from elsewhere. */
export interface TemplateNetwork {
  name: string;
  layer: NetworkLayer;
}

type Layers = z.output<typeof networkRequest>;

/** The host's defaults, then what the template says, then what was asked for beyond them. */
export function policyFor(
  { network }: Config,
  asked: Layers = [],
  template?: TemplateNetwork,
): NetworkPolicy {
  const defaults = extended(noNetwork(), network.defaults, "config.yaml");
  const host = template ? extended(defaults, template.layer, `template ${template.name}`) : defaults;
  return asked.reduce((policy, { from, ...layer }) => extended(policy, layer, from), host);
}

/** Replaces what was asked for when it was made. The host's defaults stay. Throws `conflict` for a replay. */
export async function setNetwork(parts: Parts, reference: string, asked: Layers): Promise<Sandbox> {
  const { registry, config, audit } = parts;
  const sandbox = registry.find(reference);
  const { record } = sandbox;
  if (record.replay !== null)
    throw new EngineError("conflict", `sandbox ${record.name} is a replay, which has no network`, {
      hint: `thaw create --snapshot … creates a sandbox with a network`,
    });
  const wanted = policyFor(config.required(), asked);
  await sandbox.change(() => {
    const before = record.network;
    record.network = wanted;
    return () => {
      record.network = before;
    };
  });
  await sandbox.networkChanged();
  audit.note("network set", record.name, { id: sandbox.id, mode: sandbox.network.mode });
  return sandbox;
}
