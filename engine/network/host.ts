/** What the host's configuration says about networks, asked whenever it is needed. */
import type { NetworkPolicy } from "../../api/network.ts";
import type { HostConfig } from "../config.ts";
import { type Authority, hostAuthorities } from "./authorities.ts";
import { extended, noNetwork } from "./policy.ts";
import { resolveName } from "./resolver.ts";
import { NO_UPSTREAM, type Upstream, upstreamOf } from "./upstream.ts";

export interface HostNetwork {
  /** No machine reaches more; null: there is no maximum. */
  maximum(): NetworkPolicy | null;
  /** Addresses of a name, from the servers that the configuration names, or else the host's own. Rejects with a reason for people. */
  resolve(name: string): Promise<string[]>;
  /** The proxy that this host has to use. */
  upstream(): Upstream;
  /** Of authorities that were added to this host. Never rejects. */
  authorities(): Promise<readonly Authority[]>;
}

/** A host that says nothing. */
export const NO_MAXIMUM: HostNetwork = {
  maximum: () => null,
  resolve: resolveName,
  upstream: () => NO_UPSTREAM,
  authorities: async () => [],
};

export function hostNetwork(config: Pick<HostConfig, "value">): HostNetwork {
  return {
    maximum: () => {
      const { maximum } = config.value.network;
      return maximum === undefined ? null : extended(noNetwork("config.yaml"), maximum, "config.yaml");
    },
    resolve: (name) => resolveName(name, { servers: config.value.network.dns }),
    upstream: () => upstreamOf(config.value.network),
    authorities: () => hostAuthorities(config.value.network),
  };
}
