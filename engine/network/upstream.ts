/** The proxy of a company's network that this host itself has to use, for what a sandbox's policy allows. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { BlockList, connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

const DEADLINE_MS = 10_000;

/** Which proxy leads to a destination. */
export interface Upstream {
  /** For connections, by CONNECT; null: they are dialled from here. */
  tunnel(host: string, port: number): URL | null;
  /** For requests without TLS, as they are; null: they go as other connections. */
  plain(host: string, port: number): URL | null;
}

export const NO_UPSTREAM: Upstream = { tunnel: () => null, plain: () => null };

export interface UpstreamOptions {
  /** Of the configuration. `off`: none, whatever the environment says. */
  proxy?: string | undefined;
  /** Of the configuration: names, domains with a dot before them, addresses, CIDR; each with or without :PORT. */
  noProxy?: readonly string[] | undefined;
  env?: NodeJS.ProcessEnv;
}

/** The configuration's, else the one that the daemon's environment names. */
export function upstreamOf({ proxy, noProxy, env = process.env }: UpstreamOptions): Upstream {
  if (proxy === "off") return NO_UPSTREAM;
  const named = (name: string): string | undefined => env[name.toLowerCase()] || env[name] || undefined;
  const tunnel = proxyUrl(proxy ?? named("HTTPS_PROXY") ?? named("ALL_PROXY"));
  const plain = proxyUrl(proxy ?? named("HTTP_PROXY") ?? named("ALL_PROXY"));
  if (tunnel === null && plain === null) return NO_UPSTREAM;
  const direct = noProxy ?? (named("NO_PROXY") ?? "").split(/[\s,]+/);
  const isDirect = (host: string, port: number): boolean =>
    direct.some((entry) => matches(entry, host, port));
  return {
    tunnel: (host, port) => (isDirect(host, port) ? null : tunnel),
    plain: (host, port) => (isDirect(host, port) ? null : plain),
  };
}

/** null: not a proxy that is known. */
export function proxyUrl(text: string | undefined): URL | null {
  if (text === undefined) return null;
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.canParse(whole) ? new URL(whole) : null;
  return url !== null && /^https?:$/.test(url.protocol) ? url : null;
}

function matches(entry: string, host: string, port: number): boolean {
  if (entry === "") return false;
  if (entry === "*") return true;
  const [, name = "", only] = /^(\[[^\]]+\]|[^:]*|.*:.*:.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
  if (only !== undefined && Number(only) !== port) return false;
  const plain = name.replace(/^\[|\]$/g, "");
  const family = isIP(host);
  if (family === 0) {
    const domain = plain.replace(/^\*?\./, "");
    return domain !== "" && (host === domain || host.endsWith(`.${domain}`));
  }
  const [address = "", bits] = plain.split("/");
  if (isIP(address) !== family) return false;
  if (bits === undefined) return address === host;
  const list = new BlockList();
  try {
    list.addSubnet(address, Number(bits), family === 6 ? "ipv6" : "ipv4");
  } catch {
    return false;
  }
  return list.check(host, family === 6 ? "ipv6" : "ipv4");
}

/** What a proxy is told of who asks; nothing when its address names nobody. */
export function credentials({ username, password }: URL): Record<string, string> {
  if (username === "") return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { "proxy-authorization": `Basic ${Buffer.from(pair).toString("base64")}` };
}

/** Where a proxy listens. */
export function proxyAddress({ hostname, port, protocol }: URL): { host: string; port: number } {
  return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) || (protocol === "https:" ? 443 : 80) };
}

/** A connection to a proxy that takes whole requests. Rejects with a reason for people. */
export function dialProxy(proxy: URL, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const address = proxyAddress(proxy);
  const isTls = proxy.protocol === "https:";
  const socket = isTls ? connectTls({ ...address, servername: address.host }) : connect(address);
  const timer = setTimeout(() => socket.destroy(new Error("no answer within 10 s")), DEADLINE_MS);
  const abort = (): void => void socket.destroy();
  signal.addEventListener("abort", abort, { once: true });
  socket.once("close", () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    reject(new Error(`the proxy ${proxy.host} closed the connection`));
  });
  socket.on("error", (error: NodeJS.ErrnoException) =>
    reject(new Error(`the proxy ${proxy.host}: ${error.code ?? error.message}`)),
  );
  socket.once(isTls ? "secureConnect" : "connect", () => {
    clearTimeout(timer);
    resolve(socket);
  });
  return promise;
}

/**
 * A connection through a proxy. Node's parser reads its answer, with the bounds it has for any head. Rejects with a reason for people.
 * @param host a name or an address
 */
export function dialThrough(proxy: URL, host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const target = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const at = `the proxy ${proxy.host}`;
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const { host: proxyHost, port: proxyPort } = proxyAddress(proxy);
  const send = proxy.protocol === "https:" ? httpsRequest : httpRequest;
  const raw = (): Socket => connect({ host: proxyHost, port: proxyPort, allowHalfOpen: true, noDelay: true });
  const asked = send({
    ...{ method: "CONNECT", path: target, host: proxyHost, port: proxyPort, agent: false, signal },
    headers: { host: target, ...credentials(proxy) },
    ...(proxy.protocol === "https:" ? {} : { createConnection: raw }),
  });
  const timer = setTimeout(() => asked.destroy(new Error(`${at} did not answer within 10 s`)), DEADLINE_MS);
  asked.once("connect", ({ statusCode = 0 }: IncomingMessage, socket: Socket, head: Buffer) => {
    clearTimeout(timer);
    if (statusCode < 200 || statusCode > 299) {
      socket.destroy();
      return reject(new Error(`${at} refuses ${target}: status ${statusCode}`));
    }
    socket.on("error", () => {});
    if (head.length > 0) socket.unshift(head);
    resolve(socket);
  });
  asked.on("error", (error: NodeJS.ErrnoException) => {
    clearTimeout(timer);
    reject(new Error(error.code === undefined ? error.message : `${at}: ${error.code}`));
  });
  asked.end();
  return promise;
}
