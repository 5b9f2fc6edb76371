/** What a sandbox may reach. Pure: the verdict about a destination, and about the addresses that its name led to. */
import type { NetworkLayer, NetworkMode, NetworkPolicy } from "../../api/network.ts";
import { covers, HOST_NAME, parseRule, type Rule, ruleFor } from "../../api/network-rule.ts";
import { closedReason, isIn } from "./addresses.ts";

export const noNetwork = (from = "default"): NetworkPolicy => ({ mode: "none", from, rules: [] });

/** Adds what was asked for at one place. Its rules go before those that there are: the first match decides. */
export function extended(policy: NetworkPolicy, layer: NetworkLayer, from: string): NetworkPolicy {
  const { mode, allow = [], deny = [] } = layer;
  const rules = [
    ...deny.map((rule) => ({ action: "deny" as const, rule, from })),
    ...allow.map((rule) => ({ action: "allow" as const, rule, from })),
  ];
  // `none` takes back what was allowed before; what was denied stays.
  const before = mode === "none" ? policy.rules.filter(({ action }) => action === "deny") : policy.rules;
  return {
    ...(mode === undefined ? { mode: policy.mode, from: policy.from } : { mode, from }),
    rules: [...rules, ...before],
  };
}

export interface Destination {
  /** null: a program named the address itself. */
  name: string | null;
  address: string;
  port: number;
}

export interface Verdict {
  allowed: boolean;
  /** Text of the rule that decided; null: none did. */
  rule: string | null;
  from: string;
  reason: string;
  /** Allowed because a rule names this very name: what is said inside the connection must be that name. */
  byName: boolean;
}

interface Placed extends Rule {
  from: string;
}

/** A policy whose rules were read. */
export class Policy {
  readonly mode: NetworkMode;
  readonly #from: string;
  readonly #allow: Placed[] = [];
  readonly #deny: Placed[] = [];

  constructor({ mode, from, rules }: NetworkPolicy) {
    this.mode = mode;
    this.#from = from;
    for (const { action, rule, from: place } of rules) {
      const parsed = parseRule(rule);
      // It was checked when it came.
      if ("mistake" in parsed) continue;
      const into = action === "deny" ? this.#deny : this.#allow;
      into.push(...parsed.rules.map((one) => ({ ...one, from: place })));
    }
  }

  /** Names that are denied at every port. */
  get refusedNames(): string[] {
    return this.#deny.flatMap((rule) => {
      const { target } = rule;
      if (target.kind !== "name" || !isEveryPort(rule)) return [];
      return [target.below ? `*.${target.name}` : target.name];
    });
  }

  /** Deny rules win; then the first match; then the mode. Nothing is resolved for it. */
  judge(destination: Destination): Verdict {
    const denied = this.#deny.find((rule) => matches(rule, destination));
    if (denied) return refused(denied, `denied by ${denied.text} (${denied.from})`);
    const allowed = this.#allow.find((rule) => matches(rule, destination));
    const { name, address, port } = destination;
    if (allowed) {
      const byName = allowed.target.kind === "name";
      return { allowed: true, rule: allowed.text, from: allowed.from, reason: "allowed", byName };
    }
    const where = name ?? address;
    const toAdd = `--allow ${ruleFor(where, [port])}`;
    if (this.mode === "none" || name === HOST_NAME)
      return refused(null, `${where}:${port} is not allowed; allow it with ${toAdd}`, this.#from);
    const closed = name === null ? closedReason(address) : null;
    if (closed !== null)
      return refused(null, `${address} is closed (${closed}); open it with ${toAdd}`, this.#from);
    return { allowed: true, rule: null, from: this.#from, reason: this.mode, byName: false };
  }

  /** Whether an address may be dialled that an allowed name led to. @returns why not, or null */
  addressFault(address: string, port: number): string | null {
    const destination = { name: null, address, port };
    const denied = this.#deny.find((rule) => matches(rule, destination));
    if (denied) return `${address} is denied by ${denied.text} (${denied.from})`;
    if (this.#allow.some((rule) => matches(rule, destination))) return null;
    const closed = closedReason(address);
    return closed === null
      ? null
      : `${address} is closed (${closed}); open it with --allow ${ruleFor(address, [port])}`;
  }
}

/** The rule that a reason names as its cure; null: no rule would help. */
export function ruleToAdd(reason: string): string | null {
  return / --allow (\S+)$/.exec(reason)?.[1] ?? null;
}

/** The most that a guest's resolver is told. */
const MAX_REFUSED = 500;

/** A sandbox's policy within what its host allows at most. */
export class EffectivePolicy {
  readonly #own: Policy;
  readonly #maximum: Policy | null;

  constructor(own: NetworkPolicy, maximum: NetworkPolicy | null) {
    this.#own = new Policy(own);
    this.#maximum = maximum && new Policy(maximum);
  }

  get mode(): NetworkMode {
    return this.#own.mode;
  }

  /** Names that are denied at every port: `evil.test`, `*.evil.test`. */
  get refusedNames(): string[] {
    return [...this.#own.refusedNames, ...(this.#maximum?.refusedNames ?? [])].slice(0, MAX_REFUSED);
  }

  judge(destination: Destination): Verdict {
    const own = this.#own.judge(destination);
    const most = own.allowed ? this.#maximum?.judge(destination) : undefined;
    if (!most || most.allowed) return own;
    const where = `${destination.name ?? destination.address}:${destination.port}`;
    return {
      ...most,
      byName: false,
      reason: `${where} is beyond what this host allows (network.maximum in config.yaml)`,
    };
  }

  addressFault(address: string, port: number): string | null {
    return this.#own.addressFault(address, port) ?? this.#maximum?.addressFault(address, port) ?? null;
  }
}

function isEveryPort({ ports }: Rule): boolean {
  return ports.some(([first, last]) => first <= 1 && last >= 65_535);
}

function refused(rule: Placed | null, reason: string, from = ""): Verdict {
  return { allowed: false, rule: rule?.text ?? null, from: rule?.from ?? from, reason, byName: false };
}

function matches(rule: Rule, { name, address, port }: Destination): boolean {
  if (!covers(rule, port)) return false;
  const { target } = rule;
  switch (target.kind) {
    case "host":
      return name === HOST_NAME;
    case "network":
      return name === null && isIn(target.list, address);
    case "name":
      if (name === null || name === HOST_NAME) return false;
      return target.below ? name.endsWith(`.${target.name}`) : name === target.name;
  }
}
