/** What the host's configuration says about networks, asked whenever it is needed. */
import type { NetworkPolicy } from "../../api/network.ts";
import type { HostConfig } from "../config.ts";
import { extended, noNetwork } from "./policy.ts";

export interface HostNetwork {
  /** No machine reaches more; null: there is no maximum. */
  maximum(): NetworkPolicy | null;
  /** Servers that names are asked of; none: the host's own. */
  dns(): readonly string[];
}

/** A host that says nothing. */
export const NO_MAXIMUM: HostNetwork = { maximum: () => null, dns: () => [] };

export function hostNetwork(config: Pick<HostConfig, "value">): HostNetwork {
  return {
    maximum: () => {
      const { maximum } = config.value.network;
      return maximum === undefined ? null : extended(noNetwork("config.yaml"), maximum, "config.yaml");
    },
    dns: () => config.value.network.dns,
  };
}
