/** Which names a guest may reach. First use: a template's `network`. Default: none. */
import { BlockList, isIP } from "node:net";

/** What no name may lead to: this host itself and link-local addresses (cloud metadata among them). */
const NEVER = new BlockList();
NEVER.addSubnet("127.0.0.0", 8);
NEVER.addSubnet("0.0.0.0", 8);
NEVER.addSubnet("169.254.0.0", 16);
NEVER.addAddress("::1", "ipv6");
NEVER.addAddress("::", "ipv6");
NEVER.addSubnet("fe80::", 10, "ipv6");

const DEFAULT_PORTS = [80, 443];

export interface Rule {
  /** Lower case; `*.` before it for all names below. */
  host: string;
  ports: number[];
}

/** `NAME`, `*.NAME`, `NAME:80,443`. */
export function parseRule(text: string): Rule {
  const [host = "", ports] = text.toLowerCase().split(":");
  return { host, ports: ports ? ports.split(",").map(Number) : DEFAULT_PORTS };
}

export function allows(rules: Rule[], host: string, port: number): boolean {
  const name = host.toLowerCase().replace(/\.$/, "");
  return rules.some((rule) => {
    const fits = rule.host.startsWith("*.") ? name.endsWith(rule.host.slice(1)) : name === rule.host;
    return fits && rule.ports.includes(port);
  });
}

/** False for addresses that no rule opens, whatever name led there. */
export function mayDial(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return false;
  const plain = address.toLowerCase().startsWith("::ffff:") ? address.slice(7) : address;
  if (isIP(plain) === 4) return !NEVER.check(plain, "ipv4");
  return !NEVER.check(plain, "ipv6");
}
