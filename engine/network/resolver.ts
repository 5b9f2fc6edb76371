/** Addresses of names, asked for once a policy has allowed the name. Never blocks anything else: no thread waits for an answer. */
import { Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const HOSTS_FILE = "/etc/hosts";
const TRY_MS = 2_500;
const TRIES = 2;
/** In all: a program in a guest hears of it within ten seconds. */
const DEADLINE_MS = 8_000;
/** For the other family, once one has answered. */
const OTHER_FAMILY_MS = 250;
const MAX_ADDRESSES = 64;

export interface ResolverOptions {
  /** Servers, as `ADDRESS` or `ADDRESS:PORT`; none: the host's own. */
  servers?: readonly string[] | undefined;
  hostsFile?: string;
  deadlineMs?: number;
}

/** @returns IPv4 and IPv6 addresses, at least one. Rejects with an error whose message is a reason for people. */
export async function resolveName(name: string, options: ResolverOptions = {}): Promise<string[]> {
  const { servers = [], hostsFile = HOSTS_FILE, deadlineMs = DEADLINE_MS } = options;
  const known = inHosts(await readFile(hostsFile, "utf8").catch(() => ""), name);
  if (known.length > 0) return known;
  const resolver = new Resolver({ timeout: TRY_MS, tries: TRIES });
  if (servers.length > 0) resolver.setServers(servers);
  const timer = setTimeout(() => resolver.cancel(), deadlineMs);
  try {
    const asked = [resolver.resolve4(name), resolver.resolve6(name)];
    for (const one of asked) one.catch(() => {});
    await Promise.any(asked);
    const grace = sleep(OTHER_FAMILY_MS, [] as string[]);
    const found = await Promise.all(asked.map((one) => Promise.race([one.catch(() => []), grace])));
    return found.flat().slice(0, MAX_ADDRESSES);
  } catch (error) {
    throw new Error(explain(name, error as AggregateError));
  } finally {
    clearTimeout(timer);
    resolver.cancel();
  }
}

function explain(name: string, { errors }: AggregateError): string {
  const codes = errors.map((error) => (error as NodeJS.ErrnoException).code ?? "");
  if (codes.some((code) => code === "ENOTFOUND" || code === "ENODATA"))
    return `the host finds no address of ${name}`;
  if (codes.some((code) => code === "ECANCELLED" || code === "ETIMEOUT"))
    return `the host's resolver did not answer for ${name}`;
  if (codes.includes("ECONNREFUSED")) return `the host has no resolver that answers (asked for ${name})`;
  return `the host could not resolve ${name}: ${codes.join(", ")}`;
}

/** hosts(5). */
function inHosts(text: string, name: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    return isIP(address) !== 0 && names.some((one) => one.toLowerCase() === name) ? [address] : [];
  });
}
