/** In front of a registry: a proxy that answers like other registries, and a relay that cuts connections. */
import { createServer, type IncomingMessage, request } from "node:http";
import {
  type AddressInfo,
  connect,
  createServer as createNetServer,
  type Server,
  type Socket,
} from "node:net";

export interface Proxy extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  host: string;
  /** `METHOD PATH` of every request, in order. */
  requests: string[];
  /** Their headers, likewise. */
  headers: IncomingMessage["headers"][];
}

/** What becomes of a request: an answer of the proxy's own, or how its forwarding is changed. */
export interface Verdict {
  answer?: { status: number; headers?: Record<string, string>; body?: string };
  /** The registry gets it; its answer is thrown away and the connection cut. */
  loseAnswer?: boolean;
  /** Changes the headers of the registry's answer. */
  headers?: (headers: Record<string, unknown>) => void;
}

export type Decide = (asked: {
  method: string;
  path: string;
  length: number;
  request: IncomingMessage;
}) => Verdict | undefined;

/** @param authorization is put on what is forwarded */
export async function behavingProxy(target: string, authorization: string, decide: Decide): Promise<Proxy> {
  const requests: string[] = [];
  const headers: IncomingMessage["headers"][] = [];
  const server = createServer((incoming, outgoing) => {
    const { method = "", url = "/" } = incoming;
    requests.push(`${method} ${url}`);
    headers.push(incoming.headers);
    const length = Number(incoming.headers["content-length"] ?? 0);
    const verdict = decide({ method, path: url, length, request: incoming }) ?? {};
    if (verdict.answer !== undefined) {
      const { status, headers: own, body = "" } = verdict.answer;
      incoming.resume();
      incoming.once("end", () => outgoing.writeHead(status, own).end(body));
      return;
    }
    const [hostname, port] = target.split(":");
    const forwarded = request(
      {
        host: hostname,
        port,
        path: url,
        method,
        headers: { ...incoming.headers, host: target, authorization },
      },
      (answer) => {
        const changed: Record<string, unknown> = { ...answer.headers };
        // The client goes on asking this proxy.
        if (typeof changed.location === "string")
          changed.location = changed.location.replace(`http://${target}`, "");
        verdict.headers?.(changed);
        if (verdict.loseAnswer === true)
          return void answer.resume().once("end", () => incoming.socket.destroy());
        outgoing.writeHead(answer.statusCode ?? 500, changed as Record<string, string>);
        answer.pipe(outgoing);
      },
    );
    forwarded.on("error", () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  const host = await listen(server);
  return {
    ...{ host, requests, headers },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface Relay extends AsyncDisposable {
  host: string;
  /** Bytes from clients that went through. */
  sent: number;
  /** Connections that were cut. */
  cuts: number;
}

/** Cuts the connection that carries the client's byte number `at`, once for each. */
export async function cuttingRelay(target: string, at: readonly number[]): Promise<Relay> {
  const left = [...at].sort((a, b) => a - b);
  const open = new Set<Socket>();
  const server = createNetServer((client) => {
    const [hostname, port] = target.split(":");
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        open.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    upstream.pipe(client);
    client.on("data", (chunk: Buffer) => {
      relay.sent += chunk.length;
      const [next] = left;
      if (next !== undefined && relay.sent >= next) {
        left.shift();
        relay.cuts += 1;
        upstream.end(chunk.subarray(0, chunk.length >> 1));
        client.destroy();
        return;
      }
      if (!upstream.write(chunk)) {
        client.pause();
        upstream.once("drain", () => client.resume());
      }
    });
  });
  const relay: Relay = {
    ...{ host: await listen(server), sent: 0, cuts: 0 },
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return relay;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
