/** The network of one sandbox: its policy within its host's, its log, and the way out of the machine that it has now. */
import type { NetworkPolicy, NetworkState } from "../../api/network.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { AgentRefusal } from "../../runners/agent/errors.ts";
import { Egress } from "../network/egress.ts";
import { type HostNetwork, NO_MAXIMUM } from "../network/host.ts";
import { NetworkLog } from "../network/log.ts";
import { EffectivePolicy } from "../network/policy.ts";
import { trustAuthorities } from "./authorities.ts";
import type { SandboxRecord } from "./record.ts";

const FEATURE = "egress";
const TOO_OLD =
  "the agent in its snapshot is too old for a network; build the template again: thaw template build --force";

export class SandboxNetwork {
  readonly #record: SandboxRecord;
  readonly #host: HostNetwork;
  readonly #egress: Egress;
  readonly log: NetworkLog;
  #unavailable: string | null = null;
  #untrusted: string | null = null;
  #trusting: Promise<boolean> | null = null;
  #isInherited = false;
  #agent: Agent | null = null;
  #isRefusing = false;

  constructor(record: SandboxRecord, dir: string, host: HostNetwork = NO_MAXIMUM) {
    this.#record = record;
    this.#host = host;
    this.log = new NetworkLog(dir);
    this.#egress = new Egress({
      policy: this.#effective(),
      log: this.log,
      resolve: host.resolve,
      upstream: host.upstream,
    });
  }

  /** An earlier daemon has left its log. It is read when somebody wants it, and not while the daemon starts. */
  inherit(): void {
    this.#isInherited = true;
  }

  /** Resolves when the log has all that was noted. */
  async ready(): Promise<void> {
    if (this.#isInherited) await this.log.restore();
  }

  /**
   * Has its guest trust what its host does, if it reaches anything. Every caller waits for the same work. Never rejects: why it failed is in
   * `unavailable`. @returns whether the record has changed
   */
  async trust(agent: Agent): Promise<boolean> {
    const { trusted, replay } = this.#record;
    if (this.mode === "none" || trusted || replay !== null || this.#untrusted !== null) return false;
    this.#trusting ??= this.#install(agent).finally(() => {
      this.#trusting = null;
    });
    return this.#trusting;
  }

  async #install(agent: Agent): Promise<boolean> {
    const record = this.#record;
    const authorities = await this.#host.authorities();
    if (authorities.length === 0) return false;
    try {
      const env = await trustAuthorities(agent, authorities);
      record.defaults = { ...record.defaults, env: { ...env, ...record.defaults.env } };
      record.trusted = true;
      return true;
    } catch (error) {
      // A session that ended, or a machine that stood still, says nothing about the guest: the next command tries again.
      if (error instanceof AgentRefusal)
        this.#untrusted = `its guest did not take the certificates of this host: ${(error as Error).message}`;
      return false;
    }
  }

  /** Why there is no way out of its guest, where its policy would have one. */
  get unavailable(): string | null {
    const { mode, rules } = this.#record.network;
    const wanted = mode !== "none" || rules.some(({ action }) => action === "allow");
    return wanted ? (this.#unavailable ?? this.#untrusted) : null;
  }

  get mode(): NetworkPolicy["mode"] | "rules" {
    const { mode, rules } = this.#record.network;
    return mode === "none" && rules.some(({ action }) => action === "allow") ? "rules" : mode;
  }

  get state(): NetworkState {
    const { summary: destinations, totals } = this.log;
    const { network: policy } = this.#record;
    const maximum = this.#host.maximum();
    return { policy, maximum, unavailable: this.#unavailable, totals: { ...totals }, destinations };
  }

  /** Takes the connections of a session with its agent. Those of sessions before are over. */
  serve(agent: Agent): void {
    const { features, missing } = agent.welcome;
    const why = missing[FEATURE];
    this.#unavailable = features.includes(FEATURE)
      ? null
      : why === undefined
        ? TOO_OLD
        : `its guest's kernel can't redirect connections: ${why}`;
    this.#egress.serve(agent);
    this.#agent = agent;
    this.#refuse();
  }

  /** The record or the host's configuration has changed: counts for new connections at once, and ends what it does not allow. */
  refresh(): void {
    this.#egress.setPolicy(this.#effective());
    this.#refuse();
  }

  /** Only saves the guest a connection that would be denied: nobody waits for it. */
  #refuse(): void {
    const { refusedNames } = this.#effective();
    if (refusedNames.length === 0 && !this.#isRefusing) return;
    if (this.#agent?.tellsPorts !== true) return;
    this.#isRefusing = true;
    void this.#agent.refuseNames(refusedNames).catch(() => {});
  }

  #effective(): EffectivePolicy {
    return new EffectivePolicy(this.#record.network, this.#host.maximum());
  }
}
