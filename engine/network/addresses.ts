/** Addresses that no sandbox reaches unless a rule names them, whatever name leads to them. */
import { type BlockList, isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { listOf } from "../../api/network-rule.ts";

/** What each range is. IPv4 addresses within IPv6 ones are looked at as well. */
const CLOSED_V4: readonly [string, number, string][] = [
  ["0.0.0.0", 8, "this host"],
  ["10.0.0.0", 8, "a private network"],
  ["100.64.0.0", 10, "a shared network (carrier NAT, cloud metadata)"],
  ["127.0.0.0", 8, "loopback"],
  ["168.63.129.16", 32, "cloud metadata"],
  ["169.254.0.0", 16, "link-local, cloud metadata"],
  ["172.16.0.0", 12, "a private network"],
  ["192.0.0.0", 24, "reserved"],
  ["192.168.0.0", 16, "a private network"],
  ["198.18.0.0", 15, "reserved"],
  ["224.0.0.0", 4, "multicast"],
  ["240.0.0.0", 4, "reserved"],
];
const CLOSED_V6: readonly [string, number, string][] = [
  ["::", 128, "this host"],
  ["::1", 128, "loopback"],
  ["64:ff9b:1::", 48, "a local translation of IPv4"],
  ["100::", 64, "reserved"],
  ["2001::", 32, "a tunnel (Teredo)"],
  ["fc00::", 7, "a private network"],
  ["fe80::", 10, "link-local"],
  ["fec0::", 10, "a private network"],
  ["ff00::", 8, "multicast"],
];
/** Where an IPv4 address lies within addresses of these ranges: mapped, compatible, NAT64, 6to4. */
const EMBEDDED: readonly [string, number, number][] = [
  ["::ffff:0:0", 96, 12],
  ["::", 96, 12],
  ["64:ff9b::", 96, 12],
  ["2002::", 16, 2],
];

interface Ranges {
  closed: { list: BlockList; what: string }[];
  embedded: { list: BlockList; at: number }[];
}

let known: Ranges | undefined;
/** Made when the first address is looked at: a daemon's start does not wait for it. */
function ranges(): Ranges {
  known ??= {
    closed: [...CLOSED_V4, ...CLOSED_V6].map(([network, bits, what]) => ({
      list: listOf(network, bits),
      what,
    })),
    embedded: EMBEDDED.map(([network, bits, at]) => ({ list: listOf(network, bits), at })),
  };
  return known;
}

export function isIn(list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}

/**
 * What a closed address is; null: it is open.
 * @param address IPv4 or IPv6
 * @param own addresses of this host's interfaces
 */
export function closedReason(address: string, own: ReadonlySet<string> = ownAddresses()): string | null {
  if (isIP(address) === 0) return "not an address";
  const plain = address.toLowerCase().replace(/%.*$/, "");
  if (own.has(plain)) return "an address of this host";
  const { closed, embedded } = ranges();
  const found = closed.find(({ list }) => isIn(list, plain));
  if (found) return found.what;
  if (isIP(plain) === 4) return null;
  for (const { list, at } of embedded) {
    if (!isIn(list, plain)) continue;
    const inner = ipv6Bytes(plain)
      .slice(at, at + 4)
      .join(".");
    const reason = closedReason(inner, own);
    if (reason !== null) return `${reason}, within an IPv6 address`;
  }
  return null;
}

/** Of every interface of this host. */
export function ownAddresses(): Set<string> {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return new Set(all.map(({ address }) => address.toLowerCase()));
}

/** The IPv4 address that an IPv6 one stands for (`::ffff:1.2.3.4`); others stay as they are. */
export function unmapped(address: string): string {
  if (isIP(address) !== 6 || !isIn(listOf("::ffff:0:0", 96), address)) return address;
  return ipv6Bytes(address).slice(12).join(".");
}

/** 16 bytes. @param address a valid IPv6 address */
function ipv6Bytes(address: string): number[] {
  // The parser of URLs writes it without a dotted part.
  const plain = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = "", tail] = plain.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const [first, last] = [groups(head), groups(tail ?? "")];
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => "0");
  return [...first, ...zeros, ...last].flatMap((group) => {
    const word = Number.parseInt(group, 16);
    return [word >> 8, word & 0xff];
  });
}
