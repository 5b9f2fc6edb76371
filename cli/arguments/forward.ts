import { type Command, InvalidArgumentError } from "commander";
import type { ForwardRequest } from "../../client/index.ts";

/** Parses `[ADDRESS:]HOST:GUEST`. IPv6 addresses stand in brackets. */
export function parseForward(text: string): ForwardRequest {
  const parts = /^(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+):)?(\d{1,5}):(\d{1,5})$/.exec(text);
  const [host, guest] = [Number(parts?.[2]), Number(parts?.[3])];
  if (!parts || host > 65_535 || guest < 1 || guest > 65_535)
    throw new InvalidArgumentError("Write [ADDRESS:]HOST:GUEST, such as 8080:8000; HOST 0 takes any port.");
  const address = parts[1]?.replace(/[[\]]/g, "");
  return { port: host, guest, ...(address === undefined ? {} : { address }) };
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
    "forward a port of this host, on 127.0.0.1 and ::1 unless an address is given, into the sandbox (may be repeated)",
    collectForward,
  );
}

export function readForwards({ publish }: ForwardFlags): { ports?: ForwardRequest[] } {
  return publish === undefined ? {} : { ports: [...publish] };
}
