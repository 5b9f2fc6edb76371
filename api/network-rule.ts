/**
 * Rules of a network policy, as text: `NAME`, `*.NAME`, an address, a network (`10.1.2.0/24`, `[2001:db8::]/32`), `host` (this host's loopback), `@PRESET`; behind
 * all but the last, ports: `:443`, `:80,443`, `:8000-8100`, `:*`.
 */
import { BlockList, isIP } from "node:net";
import { parseHostName } from "./host-name.ts";
import { PRESETS, SHARED_DOMAINS } from "./network-presets.ts";

/** What a service on the host's loopback is called inside. */
export const HOST_NAME = "host.thaw.internal";
const WEB_PORTS: readonly PortRange[] = [
  [80, 80],
  [443, 443],
];
const MAX_PORT = 65_535;

/** First and last. */
export type PortRange = readonly [number, number];

export type Target =
  /** `below`: every name below it, and not the name itself. */
  { kind: "name"; name: string; below: boolean } | { kind: "network"; list: BlockList } | { kind: "host" };

export interface Rule {
  /** As it was written; of a preset, its own text. */
  text: string;
  target: Target;
  ports: readonly PortRange[];
}

export interface RuleLists {
  allow?: readonly string[] | undefined;
  deny?: readonly string[] | undefined;
}

export type ParsedRule = { rules: Rule[] } | { mistake: string };

export function parseRule(text: string): ParsedRule {
  if (text.startsWith("@")) return parsePreset(text);
  const parts = /^(\[[^\]]*\](?:\/\d+)?|[^:]*)(?::(.*))?$/s.exec(text);
  if (!parts) return { mistake: mistaken(text) };
  const [, where = "", portsText] = parts;
  const ports = parsePorts(portsText);
  if (ports === null)
    return {
      mistake: `${JSON.stringify(text)}: a port is a number from 1 to ${MAX_PORT}, a range such as 8000-8100, or *`,
    };
  if (where === "host") {
    if (portsText === undefined) return { mistake: `"host" needs a port: host:PORT` };
    return one(text, { kind: "host" }, ports);
  }
  const network = parseNetwork(where);
  if (network === "mistake") return { mistake: mistaken(text) };
  if (network) return one(text, { kind: "network", list: network }, ports);
  const below = where.startsWith("*.");
  const parsed = parseHostName(below ? where.slice(2) : where);
  if ("mistake" in parsed)
    return { mistake: where.includes("*") || /[[\]/:]/.test(where) ? mistaken(text) : parsed.mistake };
  if (parsed.name === HOST_NAME) return { mistake: `${HOST_NAME} is allowed by host:PORT` };
  return one(text, { kind: "name", name: parsed.name, below }, ports);
}

/** A rule that opens more than it seems to; null: none of that. */
function warningOf({ text, target }: Rule): string | null {
  if (target.kind !== "name" || !target.below) return null;
  const { name } = target;
  const isShared = SHARED_DOMAINS.some((domain) => name === domain || domain.endsWith(`.${name}`));
  return isShared
    ? `${text}: anyone can get a name below ${name}, so this rule lets data out to anyone`
    : null;
}

/** Every mistake in rules; empty: there is none. */
export function mistakesIn({ allow = [], deny = [] }: RuleLists): string[] {
  return [...allow, ...deny].flatMap((text) => {
    const parsed = parseRule(text);
    return "mistake" in parsed ? [parsed.mistake] : [];
  });
}

/** What rules open beyond what they seem to. */
export function warningsIn({ allow = [] }: RuleLists): string[] {
  return allow.flatMap((text) => {
    const parsed = parseRule(text);
    return "rules" in parsed ? parsed.rules.flatMap((rule) => warningOf(rule) ?? []) : [];
  });
}

/** The fewest rules that allow these destinations. */
export function suggestedRules(seen: readonly { destination: string; port: number }[]): string[] {
  const ports = new Map<string, Set<number>>();
  for (const { destination, port } of seen) {
    const known = ports.get(destination) ?? new Set<number>();
    ports.set(destination, known.add(port));
  }
  return [...ports].map(([destination, numbers]) => ruleFor(destination, [...numbers])).sort();
}

export function listOf(network: string, bits: number): BlockList {
  const list = new BlockList();
  list.addSubnet(network, bits, isIP(network) === 6 ? "ipv6" : "ipv4");
  return list;
}

export function covers(rule: Rule, port: number): boolean {
  return rule.ports.some(([first, last]) => port >= first && port <= last);
}

/** The shortest rule for one destination. */
export function ruleFor(where: string, ports: readonly number[]): string {
  const subject = isIP(where) === 6 ? `[${where}]` : where === HOST_NAME ? "host" : where;
  const isWeb = ports.every((port) => WEB_PORTS.some(([web]) => web === port));
  if (isWeb && subject !== "host") return subject;
  return `${subject}:${[...new Set(ports)].sort((a, b) => a - b).join(",")}`;
}

function one(text: string, target: Target, ports: readonly PortRange[]): ParsedRule {
  return { rules: [{ text, target, ports }] };
}

function parsePreset(text: string): ParsedRule {
  const preset = PRESETS.find(({ name }) => `@${name}` === text);
  if (!preset)
    return {
      mistake: `there is no preset ${JSON.stringify(text)}; the presets are ${PRESETS.map(({ name }) => `@${name}`).join(", ")}`,
    };
  const rules = preset.rules.flatMap((rule) => {
    const parsed = parseRule(rule);
    return "rules" in parsed ? parsed.rules : [];
  });
  return { rules: rules.map((rule) => ({ ...rule, text })) };
}

function parsePorts(text: string | undefined): readonly PortRange[] | null {
  if (text === undefined) return WEB_PORTS;
  if (text === "*") return [[1, MAX_PORT]];
  const ranges: PortRange[] = [];
  for (const part of text.split(",")) {
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    if (!range) return null;
    const first = Number(range[1]);
    const last = Number(range[2] ?? range[1]);
    if (first < 1 || last > MAX_PORT || first > last) return null;
    ranges.push([first, last]);
  }
  return ranges;
}

/** null: it is not written as an address or network. */
function parseNetwork(text: string): BlockList | "mistake" | null {
  const parts = /^\[?([^\]/]*)\]?(?:\/(\d{1,3}))?$/.exec(text);
  const address = parts?.[1] ?? "";
  const family = isIP(address);
  if (family === 0)
    return /^[\d./]+$/.test(text) || text.startsWith("[") || text.includes("/") ? "mistake" : null;
  if ((family === 6) !== text.startsWith("[")) return "mistake";
  const most = family === 6 ? 128 : 32;
  const bits = parts?.[2] === undefined ? most : Number(parts[2]);
  return bits > most ? "mistake" : listOf(address, bits);
}

function mistaken(text: string): string {
  return `${JSON.stringify(text)}: a rule is NAME, *.NAME, an address, a network such as 10.1.2.0/24 ([…] around IPv6), host:PORT or @PRESET, with :PORTS behind`;
}
