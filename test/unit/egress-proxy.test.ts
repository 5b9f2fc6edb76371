import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createEgressProxy, type EgressProxy } from "../../engine/egress/proxy.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** What would end the daemon. Vitest fails a run for both, too; these name the test. */
const fatal: unknown[] = [];
const note = (error: unknown): void => void fatal.push(error);
beforeAll(() => {
  process.on("uncaughtException", note).on("unhandledRejection", note);
});
afterAll(() => {
  process.off("uncaughtException", note).off("unhandledRejection", note);
});
afterEach(async () => {
  await new Promise((resolve) => setImmediate(resolve));
  expect(fatal.splice(0)).toEqual([]);
});

/** A guest's connection: bytes written to the returned socket reach the proxy as a stream from inside the guest. */
async function guestOf(proxy: EgressProxy): Promise<Socket> {
  const path = join(tmpdir(), `thaw-proxy-${process.pid}-${closers.length}.sock`);
  const server = createTcpServer((socket) => proxy.accept(socket)).listen(path);
  await once(server, "listening");
  closers.push(() => server.close());
  const guest = connect(path);
  closers.push(() => guest.destroy());
  return guest;
}

/** Sends `text` and reads until the proxy closes the connection, or until `enough` is in the answer. */
async function ask(proxy: EgressProxy, text: string, enough?: string): Promise<string> {
  const guest = await guestOf(proxy);
  guest.write(text);
  let answer = "";
  for await (const chunk of guest) {
    answer += chunk;
    if (enough !== undefined && answer.includes(enough)) break;
  }
  return answer;
}

/** A web server that answers with the request it got. */
async function webServer(): Promise<number> {
  const server: Server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      const { method, url, headers } = request;
      response.end(JSON.stringify({ method, url, headers, body }));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(
    () => server.closeAllConnections(),
    () => server.close(),
  );
  return (server.address() as AddressInfo).port;
}

/** A server that does `serve` with each connection. */
async function rawServer(serve: (socket: Socket) => void): Promise<number> {
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    closers.push(() => socket.destroy());
    serve(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** The policy forbids loopback, where the tests' servers listen. */
function proxyTo(port: number): EgressProxy {
  const proxy = createEgressProxy([{ host: "127.0.0.1", ports: [port] }], () => {}, { mayDial: () => true });
  closers.push(() => proxy.close());
  return proxy;
}

interface Echo {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** What the server saw of a request with this head and body. */
async function seenOf(head: string, body = ""): Promise<Echo> {
  const port = await webServer();
  const text = head.replaceAll("PORT", String(port));
  const answer = await ask(proxyTo(port), `${text}Connection: close\r\n\r\n${body}`);
  expect(answer).toMatch(/^HTTP\/1\.1 (?:100 Continue\r\n\r\nHTTP\/1\.1 )?200 /);
  return JSON.parse(answer.slice(answer.indexOf("{"), answer.lastIndexOf("}") + 1));
}

describe("bytes get through", () => {
  test("GET: path, query and end-to-end headers; the Host is the checked one, not the claimed one", async () => {
    const seen = await seenOf(
      "GET http://127.0.0.1:PORT/a%20b?c=d HTTP/1.1\r\nHost: elsewhere\r\nX-Mine: 1\r\nProxy-Connection: keep-alive\r\n",
    );
    expect(seen).toMatchObject({ method: "GET", url: "/a%20b?c=d", body: "" });
    expect(seen.headers).toMatchObject({ host: expect.stringMatching(/^127\.0\.0\.1:/), "x-mine": "1" });
    expect(Object.keys(seen.headers)).not.toContain("proxy-connection");
  });

  test.each([
    ["Content-Length", "Content-Length: 5\r\n", "hello"],
    ["Transfer-Encoding", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"],
    [
      "Transfer-Encoding and TE",
      "Transfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Sum\r\n",
      "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    ],
    ["Expect", "Content-Length: 5\r\nExpect: 100-continue\r\n", "hello"],
    ["Upgrade", "Content-Length: 5\r\nUpgrade: websocket\r\n", "hello"],
    ["Keep-Alive", "Content-Length: 5\r\nKeep-Alive: timeout=5\r\n", "hello"],
  ])("PUT with %s", async (_name, headers, body) => {
    const seen = await seenOf(`PUT http://127.0.0.1:PORT/x HTTP/1.1\r\nHost: a\r\n${headers}`, body);
    expect(seen).toMatchObject({ method: "PUT", url: "/x", body: "hello" });
    for (const name of ["te", "expect", "upgrade", "keep-alive", "trailer"])
      expect(Object.keys(seen.headers)).not.toContain(name);
  });

  test("two requests over one connection, each dialled and checked", async () => {
    const port = await webServer();
    const head = (path: string) => `GET http://127.0.0.1:${port}${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
    const answer = await ask(proxyTo(port), head("/one") + head("/two"), "/two");
    expect(answer.match(/"url":"[^"]*"/g)).toEqual(['"url":"/one"', '"url":"/two"']);
  });

  test("CONNECT: both ways, also bytes sent along with the request", async () => {
    const port = await rawServer((socket) => socket.pipe(socket));
    const answer = await ask(
      proxyTo(port),
      `CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: a\r\n\r\nearly bytes`,
      "early bytes",
    );
    expect(answer).toBe("HTTP/1.1 200 Connection established\r\n\r\nearly bytes");
  });

  test("a large answer arrives whole", async () => {
    const size = 3_000_000;
    const port = await rawServer((socket) => {
      socket.once("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        socket.end(Buffer.alloc(size, "x"));
      });
    });
    const answer = await ask(
      proxyTo(port),
      `GET http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
    );
    expect(answer.length - answer.indexOf("\r\n\r\n") - 4).toBe(size);
  });
});

describe("a server that misbehaves gives 502, and ends nothing", () => {
  const request = (port: number, headers = "") =>
    `PUT http://127.0.0.1:${port}/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${headers}\r\n`;

  test.each<[string, (socket: Socket) => void]>([
    ["resets at once", (socket) => socket.resetAndDestroy()],
    ["resets after the request", (socket) => socket.once("data", () => socket.resetAndDestroy())],
    ["closes without an answer", (socket) => socket.once("data", () => socket.end())],
    ["answers with nonsense", (socket) => socket.once("data", () => socket.end("nonsense\r\n\r\n"))],
    [
      "answers with an impossible status",
      (socket) => socket.once("data", () => socket.end("HTTP/1.1 000 No\r\n\r\n")),
    ],
    [
      "answers with an upgrade",
      (socket) =>
        socket.once("data", () =>
          socket.write("HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
        ),
    ],
    [
      "answers with a bad header",
      (socket) => socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nA\u0000b: c\r\n\r\n")),
    ],
  ])("%s", async (_name, serve) => {
    const port = await rawServer(serve);
    for (const headers of ["Content-Length: 5\r\n", "Content-Length: 5\r\nExpect: 100-continue\r\n"])
      expect(await ask(proxyTo(port), `${request(port, headers)}hello`)).toMatch(/HTTP\/1\.1 502 /);
  });

  test("resets in the middle of its answer: the guest's connection ends", async () => {
    const upstream = Promise.withResolvers<Socket>();
    const port = await rawServer((socket) =>
      socket.once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        upstream.resolve(socket);
      }),
    );
    const guest = await guestOf(proxyTo(port));
    guest.on("error", () => {});
    guest.write(request(port, "Content-Length: 0\r\n"));
    let answer = "";
    guest.on("data", (chunk) => (answer += chunk));
    await expect.poll(() => answer).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*half$/);
    (await upstream.promise).resetAndDestroy();
    await once(guest, "close");
  });

  test("a tunnel whose server resets", async () => {
    const port = await rawServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const guest = await guestOf(proxyTo(port));
    guest.on("error", () => {});
    guest.write(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: a\r\n\r\nhello`);
    guest.resume();
    await once(guest, "close");
  });

  test("nobody listens", async () => {
    const server = createTcpServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    expect(await ask(proxyTo(port), request(port, "Content-Length: 0\r\n"))).toMatch(/^HTTP\/1\.1 502 /);
    expect(await ask(proxyTo(port), `CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: a\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 502 /,
    );
  });
});

describe("a guest that misbehaves", () => {
  test.each([
    ["half a head", "PUT http://127.0.0.1:PORT/x HTTP/1.1\r\nHo"],
    ["half a body", "PUT http://127.0.0.1:PORT/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf"],
    [
      "half a chunk",
      "PUT http://127.0.0.1:PORT/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf",
    ],
    ["a request and no wait for the answer", "GET http://127.0.0.1:PORT/x HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["a tunnel", "CONNECT 127.0.0.1:PORT HTTP/1.1\r\nHost: a\r\n\r\nhello"],
  ])("goes away after %s: its connection to the server ends", async (_name, text) => {
    const closed = Promise.withResolvers<void>();
    let reached = false;
    const port = await rawServer((socket) => {
      reached = true;
      socket.resume();
      socket.once("close", () => closed.resolve());
    });
    const proxy = proxyTo(port);
    const guest = await guestOf(proxy);
    guest.write(text.replaceAll("PORT", String(port)));
    await expect.poll(() => reached || text.endsWith("Ho")).toBe(true);
    guest.destroy();
    if (reached) await closed.promise;
    // The proxy still serves.
    const other = await webServer();
    expect(
      await ask(
        proxyTo(other),
        `GET http://127.0.0.1:${other}/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
      ),
    ).toMatch(/^HTTP\/1\.1 200 /);
  });

  test.each([
    ["no address", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 400 /],
    [
      "a bad address",
      "GET http://[bad/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
      /^HTTP\/1\.1 400 /,
    ],
    ["another scheme", "GET https://a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["a tunnel to nowhere", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", /^HTTP\/1\.1 400 /],
    [
      "an unknown expectation",
      "PUT http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\nExpect: gold\r\nConnection: close\r\n\r\n",
      /^HTTP\/1\.1 417 /,
    ],
    ["no HTTP", "\x16\x03\x01\x02", /^$/],
    [
      "both lengths",
      "PUT http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
      /^$/,
    ],
    ["a bad header", "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\nX\u0001: y\r\n\r\n", /^$/],
  ])("%s", async (_name, text, expected) => {
    expect(
      await ask(
        createEgressProxy([], () => {}),
        text,
      ),
    ).toMatch(expected);
  });
});

describe("the policy", () => {
  test("a name that is not listed is refused with what to do, and reported", async () => {
    const denied: string[] = [];
    const proxy = createEgressProxy([], (destination) => denied.push(destination));
    expect(await ask(proxy, "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 403 /,
    );
    expect(
      await ask(
        proxy,
        "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
      ),
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
});
