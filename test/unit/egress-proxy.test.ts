import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { createEgressProxy, type EgressProxy } from "../../engine/egress/proxy.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A guest's connection: what is written on the returned socket arrives at the proxy as a stream from inside. */
async function guestOf(proxy: EgressProxy): Promise<Socket> {
  const path = join(tmpdir(), `thaw-proxy-${process.pid}-${closers.length}.sock`);
  const server = createTcpServer((socket) => proxy.accept(socket)).listen(path);
  await once(server, "listening");
  closers.push(() => server.close());
  const guest = connect(path);
  closers.push(() => guest.destroy());
  return guest;
}

async function ask(proxy: EgressProxy, text: string): Promise<string> {
  const guest = await guestOf(proxy);
  guest.write(text);
  let answer = "";
  for await (const chunk of guest) {
    answer += chunk;
    if (answer.includes("\r\n\r\n") && !text.includes("Connection: close")) break;
  }
  return answer;
}

async function webServer(): Promise<number> {
  const server: Server = createServer((request, response) =>
    response.end(`${request.method} ${request.url} for ${request.headers.host}`),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

test("a name that is not listed is refused with what to do, and reported", async () => {
  const denied: string[] = [];
  const proxy = createEgressProxy([], (destination) => denied.push(destination));
  expect(await ask(proxy, "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n")).toMatch(
    /^HTTP\/1\.1 403 /,
  );
  expect(
    await ask(proxy, "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
  ).toMatch(/403[\s\S]*not in this template's network list/);
  expect(denied).toEqual(["evil.example:443", "evil.example:80"]);
});

test("a listed name that leads to this host is refused all the same", async () => {
  const port = await webServer();
  const proxy = createEgressProxy([{ host: "localhost", ports: [port] }], () => {});
  expect(await ask(proxy, `CONNECT localhost:${port} HTTP/1.1\r\nHost: localhost\r\n\r\n`)).toMatch(
    /^HTTP\/1\.1 403 [\s\S]*never allowed/,
  );
  expect(
    await ask(
      proxy,
      `GET http://localhost:${port}/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    ),
  ).toMatch(/^HTTP\/1\.1 403 /);
});

test.each([
  "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
  "\x16\x03\x01\x02",
  "GET http://[bad/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
])("nonsense ends the connection and nothing else: %j", async (text) => {
  const proxy = createEgressProxy([], () => {});
  expect(await ask(proxy, text)).toMatch(/^(HTTP\/1\.1 400 |$)/);
});
