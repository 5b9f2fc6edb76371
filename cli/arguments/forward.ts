import { isIP } from "node:net";
import { type Command, InvalidArgumentError } from "commander";
import { socketPathFault } from "../../api/socket-path.ts";
import type { ForwardRequest } from "../../client/index.ts";

const MAX_PORT = 65_535;

/** Parses `[ADDRESS:]HOST:GUEST`. IPv6 addresses stand in brackets. Each side is a port or the absolute path of a unix socket. */
export function parseForward(text: string): ForwardRequest {
  const parts = /^(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+):)?(\d{1,5}|\/[^:]*):(\d{1,5}|\/[^:]*)$/.exec(text);
  const [, written, host = "", inside = ""] = parts ?? [];
  const address = written?.replace(/[[\]]/g, "");
  const isPath = host.startsWith("/");
  if (!parts || (address !== undefined && (isPath || isIP(address) === 0))) throw notForward(text);
  const guest = inside.startsWith("/") ? checkPath(inside) : portOf(inside, 1);
  if (isPath) return { path: checkPath(host), guest };
  const port = portOf(host, 0);
  return { port, guest, ...(address === undefined ? {} : { address }) };
}

function notForward(text: string): InvalidArgumentError {
  const right = /^\d{1,5}$/.test(text)
    ? `Write ${text}:${text}, or 0:${text} for any free port of this host.`
    : "Write two ports, such as 8080:8000; HOST 0 takes any free port, and each side may be the absolute path of a unix socket.";
  return new InvalidArgumentError(`${text} is not [ADDRESS:]HOST:GUEST. ${right}`);
}

/** Parses the host's side of an existing forward. */
export function parseForwardKey(text: string): number | string {
  if (text.startsWith("/")) return checkPath(text);
  if (!/^\d{1,5}$/.test(text))
    throw new InvalidArgumentError("Write a port of the host, or a socket's path.");
  return portOf(text, 1);
}

function portOf(text: string, least: number): number {
  const port = Number(text);
  if (port < least || port > MAX_PORT)
    throw new InvalidArgumentError(`${text} is not a port: ${least} to ${MAX_PORT}.`);
  return port;
}

function checkPath(path: string): string {
  const fault = socketPathFault(path);
  if (fault !== null) throw new InvalidArgumentError(`${path} can't be a socket's path: ${fault}.`);
  return path;
}

/** Adds a forward to those given so far. */
function collectForward(text: string, before: readonly ForwardRequest[] = []): readonly ForwardRequest[] {
  return [...before, parseForward(text)];
}

/** Flags that make forwards. */
export interface ForwardFlags {
  publish?: readonly ForwardRequest[];
}

export function addForwardFlags(command: Command): Command {
  return command.option(
    "-p, --publish <[address:]host:guest>",
    "forward a port of this host, on 127.0.0.1 and ::1 unless an address is given, into the sandbox; each side may be a unix socket's path (may be repeated)",
    collectForward,
  );
}

export function readForwards({ publish }: ForwardFlags): { ports?: ForwardRequest[] } {
  return publish === undefined ? {} : { ports: [...publish] };
}
