/** The page's client: what is in its bundle, and the client itself, by the fetch and the WebSocket of Node, against a server on TCP. */
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { rolldown } from "rolldown";
import { expect, test } from "vitest";
import { Thaw } from "../../client/browser.ts";
import {
  type Peer,
  sampleExec,
  sampleSandbox,
  sendJson,
  startServer,
  type TestScript,
  type TestServer,
} from "./client-server.ts";

/** All of it; what is loaded late is counted as well. */
const MAX_BUNDLE_BYTES = 60_000;

async function withServer(
  script: TestScript,
  work: (client: Thaw, server: TestServer) => Promise<void>,
  options: ConstructorParameters<typeof Thaw>[0] = {},
): Promise<void> {
  await using server = await startServer(script, { tcp: true });
  await using client = new Thaw({ ...options, origin: server.origin });
  await work(client, server);
}

test("the bundle has nothing of Node, and is small", async () => {
  const build = await rolldown({
    cwd: join(import.meta.dirname, "../.."),
    input: "client/browser.ts",
    platform: "browser",
    // What is of Node stays in the code, to be seen below.
    external: [/^node:/],
    logLevel: "silent",
  });
  const { output } = await build.generate({ format: "esm", minify: true });
  await build.close();
  const code = output.map((file) => (file.type === "chunk" ? file.code : "")).join("\n");
  const modules = output.flatMap((file) => (file.type === "chunk" ? file.moduleIds : []));
  expect(modules.filter((id) => /node-|\/ws\//.test(id))).toEqual([]);
  expect(code).not.toMatch(/node:|\bBuffer\b|\bprocess\b|\brequire\b/);
  expect(code.length).toBeLessThan(MAX_BUNDLE_BYTES);
  expect(code).toContain("/v1/sandboxes");
});

test("an answer of NDJSON is read as it comes", async () => {
  const gate = Promise.withResolvers<void>();
  const script: TestScript = {
    http: async (_request, response) => {
      response
        .writeHead(200)
        .write(`${JSON.stringify({ type: "progress", step: "boot", state: "started" })}\n`);
      await gate.promise;
      response.end(`${JSON.stringify({ type: "result", sandbox: sampleSandbox })}\n`);
    },
  };
  await withServer(script, async (client, server) => {
    // The result is sent once the progress was seen.
    const sandbox = await client.sandboxes.create(
      { source: { template: "base" } },
      { onProgress: () => gate.resolve() },
    );
    expect(sandbox.id).toBe(sampleSandbox.id);
    expect(server.requests[0]?.headers).toMatchObject({ "content-type": "application/json" });
    expect(server.requests[0]?.headers["thaw-request"]).toMatch(/^[0-9a-f]{20}$/);
  });
});

test("files go up as they are, whatever they are given as", async () => {
  const bodies: string[] = [];
  const script: TestScript = {
    http: async (request, response) => {
      bodies.push(
        `${request.headers["content-type"]} ${request.headers["content-length"]} ${await text(request)}`,
      );
      response.writeHead(204).end();
    },
  };
  await withServer(script, async (client) => {
    const { files } = client.sandboxes.at("s1");
    await files.write("/a", new Blob(["blob"]));
    await files.write("/b", Uint8Array.of(66));
    await files.write("/c", async function* () {
      yield new TextEncoder().encode("one ");
      yield new TextEncoder().encode("two");
    });
  });
  const type = "application/octet-stream";
  expect(bodies).toEqual([`${type} 4 blob`, `${type} 1 B`, `${type} 7 one two`]);
});

test("who is not known is told in one place, and by the error", async () => {
  const error = { code: "not-authenticated", message: "sign in" };
  const told: string[] = [];
  const script: TestScript = { http: (_request, response) => sendJson(response, 401, { error }) };
  const options = { onNotAuthenticated: ({ message }: Error) => void told.push(message) };
  await withServer(
    script,
    async (client) => {
      await expect(client.sandboxes.list()).rejects.toMatchObject(error);
    },
    options,
  );
  expect(told).toEqual(["sign in"]);
});

test("a daemon that is away is waited for, and told of", async () => {
  const told: boolean[] = [];
  let cut = 2;
  const script: TestScript = {
    http: (request, response) => {
      if (cut-- > 0) request.socket.destroy();
      else sendJson(response, 200, { sandboxes: [] });
    },
  };
  const onReach = (isThere: boolean): void => void told.push(isThere);
  await withServer(script, async (client) => expect(await client.sandboxes.list()).toEqual([]), { onReach });
  expect(told).toEqual([false, false, true]);
});

test("an abort ends a request with the signal's reason, and calls it off", async () => {
  const abort = new AbortController();
  const script: TestScript = {
    http: ({ method }, response) => {
      if (method === "DELETE") response.writeHead(204).end();
      else abort.abort(new Error("enough"));
    },
  };
  await withServer(script, async (client, server) => {
    await expect(client.sandboxes.create({}, { signal: abort.signal })).rejects.toThrow("enough");
    expect(server.requests.at(-1)?.url).toBe(`/v1/requests/${server.requests[0]?.headers["thaw-request"]}`);
  });
});

test("an exec goes on at its offsets when its connection broke", async () => {
  const said: string[] = [];
  let broke = 0;
  const script: TestScript = {
    peer: async (peer: Peer) => {
      const out = Number(peer.url.searchParams.get("out"));
      peer.say({ type: "attached", exec: sampleExec, writer: true, out, err: 0 } as never);
      peer.say({ type: "started", exec: sampleExec });
      peer.say({ type: "stdin", offset: 0 });
      if (out === 0) {
        peer.write(1, "first ");
        await peer.until(() => peer.stdin.length > 0);
        peer.ws.terminate();
      } else {
        peer.write(1, "second");
        await peer.until(() => Buffer.concat(peer.stdin).toString() === "typed");
        peer.finish(3);
      }
    },
  };
  await withServer(script, async (client, { peers }) => {
    const seen = Promise.withResolvers<void>();
    const connection = await client.sandboxes
      .at("s1")
      .execAt("x1")
      .attach({
        stdin: true,
        stdout: (chunk) => {
          said.push(new TextDecoder().decode(chunk));
          seen.resolve();
        },
        onBroken: () => {
          broke += 1;
        },
      });
    await seen.promise;
    await connection.writeStdin(new TextEncoder().encode("typed"));
    expect((await connection.result).exit?.code).toBe(3);
    expect(peers[1]?.url.searchParams.get("out")).toBe("6");
  });
  expect([said.join(""), broke]).toEqual(["first second", 1]);
});

test("why an exec can't be joined is told, though a browser does not see how its WebSocket was answered", async () => {
  const error = { code: "not-found", message: "no exec x9" };
  const script: TestScript = {
    http: (_request, response) => sendJson(response, 404, { error }),
    refuseUpgrades: true,
  };
  await withServer(script, async (client) => {
    await expect(client.sandboxes.at("s1").execAt("x9").attach()).rejects.toMatchObject(error);
  });
});
