import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Thaw } from "../../client/index.ts";
import { sampleSandbox, sendJson, startServer, type TestScript, type TestServer } from "./client-server.ts";

async function withServer(
  script: TestScript,
  work: (client: Thaw, server: TestServer) => Promise<void>,
): Promise<void> {
  await using server = await startServer(script);
  await using client = new Thaw({ socket: server.socket, home: server.folder, autostart: false });
  await work(client, server);
}

test("references are encoded, and requests name the client's build", async () => {
  await withServer({ http: (_request, response) => sendJson(response, 200, {}) }, async (client, server) => {
    await client.snapshots.get("node:24");
    await client.sandboxes.at("a/b").execAt("../x").get();
    expect(server.requests.map(({ url }) => url)).toEqual([
      "/v1/snapshots/node%3A24",
      "/v1/sandboxes/a%2Fb/execs/..%2Fx",
    ]);
    // A daemon that this client may not replace serves it whatever its build.
    expect(server.requests[0]?.headers).not.toHaveProperty("thaw-client-built");
    expect(server.requests[0]?.headers["thaw-client-version"]).toMatch(/^\d+\.\d+\.\d+/);
  });
});

test("an error answer becomes a ThawError with its hint", async () => {
  const error = { code: "not-found", message: "no snapshot nod", hint: "did you mean node?" };
  await withServer({ http: (_request, response) => sendJson(response, 404, { error }) }, async (client) => {
    await expect(client.snapshots.get("nod")).rejects.toMatchObject({ ...error, exitCode: 2 });
  });
});

describe("what is not thaw's daemon is named as such", () => {
  const asked = (client: Thaw) => client.sandboxes.list();
  const json = { "content-type": "application/json" };
  test.each<[string, NonNullable<TestScript["http"]>, RegExp]>([
    ["an error page", (_q, a) => a.writeHead(502).end("<html>"), /answered 502 without an error of thaw's/],
    ["a page", (_q, a) => a.writeHead(200).end("<html>"), /not JSON: "<html>"/],
    ["nothing", (_q, a) => a.writeHead(200).end(), /not JSON: ""/],
    ["an answer that is cut", (_q, a) => a.writeHead(200, json).end('{"sandboxes":[{"id":'), /not JSON/],
    ["another's JSON", (_q, a) => a.writeHead(200, json).end('{"Containers":3}'), /has no sandboxes/],
    ["a list", (_q, a) => a.writeHead(200, json).end("[]"), /has no sandboxes/],
    ["no HTTP", (_q, a) => void a.socket?.end("SSH-2.0-OpenSSH_9.2\r\n"), /does not speak HTTP/],
  ])("%s", async (_what, http, said) => {
    await withServer({ http }, async (client) => {
      await expect(asked(client)).rejects.toMatchObject({
        code: "daemon-unreachable",
        message: expect.stringMatching(said),
        hint: expect.stringContaining("thaw daemon status"),
      });
    });
  });

  test("lines that are not JSON", async () => {
    await withServer({ http: (_request, response) => void response.end("hello\n") }, async (client) => {
      await expect(client.templates.build({ template: "base" })).rejects.toMatchObject({
        message: expect.stringContaining('not JSON: "hello"'),
      });
    });
  });
});

test("a daemon that does not know a request yet: both versions are said", async () => {
  const script: TestScript = {
    http: (_request, response) => {
      response.setHeader("thaw-version", "0.0.9").setHeader("thaw-no-route", "1");
      sendJson(response, 404, {
        error: { code: "not-found", message: "this daemon does not know GET /v1/x" },
      });
    },
  };
  await withServer(script, async (client) => {
    await expect(client.host.info()).rejects.toMatchObject({
      code: "daemon-mismatch",
      message: expect.stringMatching(/its version is 0\.0\.9, this client's \d+\.\d+\.\d+/),
      hint: expect.stringContaining("thaw daemon stop"),
    });
  });
  const http: TestScript["http"] = (request, response) => {
    response.setHeader("thaw-restart", "sudo systemctl restart thaw.service");
    return script.http?.(request, response);
  };
  await withServer({ http }, async (client) => {
    const { hint } = await client.host.info().catch((error) => error);
    expect(hint).toMatch(/sudo systemctl restart thaw\.service$/);
    expect(hint).not.toContain("daemon stop");
  });
});

test("progress comes line by line, however it is cut", async () => {
  const lines = [
    { type: "progress", subject: "base", phase: "boot", state: "started" },
    { type: "progress", subject: "base", phase: "boot", state: "done", detail: "é" },
    { type: "result", sandbox: sampleSandbox },
  ];
  const bytes = Buffer.from(lines.map((line) => JSON.stringify(line)).join("\n"));
  const script: TestScript = {
    http: async (_request, response) => {
      for (let at = 0; at < bytes.length; at += 7) {
        response.write(bytes.subarray(at, at + 7));
        if (at % 70 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    },
  };
  await withServer(script, async (client) => {
    const details: (string | undefined)[] = [];
    const sandbox = await client.sandboxes.create(
      {},
      { onProgress: (progress) => details.push(progress.detail) },
    );
    expect(sandbox.name).toBe("calm-fox");
    expect(details).toEqual([undefined, "é"]);
  });
});

test("an answer that stops without a result is an error", async () => {
  await withServer({ http: (_request, response) => void response.end("") }, async (client) => {
    await expect(client.templates.build({ template: "base" })).rejects.toMatchObject({
      code: "daemon-unreachable",
    });
  });
});

test("a long answer holds up no other request, and connections are used again", async () => {
  const script: TestScript = {
    http: (request, response) => {
      if (request.url === "/v1/templates/build") response.writeHead(200).flushHeaders();
      else sendJson(response, 200, { sandboxes: [] });
    },
  };
  await withServer(script, async (client) => {
    const abort = new AbortController();
    const building = client.templates.build({ template: "base" }, { signal: abort.signal });
    await Promise.all([client.sandboxes.list(), client.sandboxes.list()]);
    await client.sandboxes.list();
    abort.abort(new Error("enough"));
    await expect(building).rejects.toThrow("enough");
  });
});

test("a tree is sent as a stream", async () => {
  let received = 0;
  const script: TestScript = {
    http: async (request, response) => {
      for await (const chunk of request) received += (chunk as Buffer).length;
      sendJson(response, 200, { entries: 1, bytes: received });
    },
  };
  await withServer(script, async (client, server) => {
    async function* tree(): AsyncGenerator<Buffer> {
      for (let i = 0; i < 20; i++) yield Buffer.alloc(1 << 20);
    }
    const sent = await client.sandboxes.at("s1").files.writeTree("/work space", tree, { user: "1000:1000" });
    expect(sent.bytes).toBe(20 << 20);
    expect(server.requests[0]?.url).toBe("/v1/sandboxes/s1/tree?path=%2Fwork+space&user=1000%3A1000");
  });
});

test("nobody there is said with the socket's path", async () => {
  await using client = new Thaw({
    socket: "/tmp/thaw-no-such/thaw.sock",
    home: "/tmp/thaw-no-such",
    autostart: false,
  });
  await expect(client.host.info()).rejects.toMatchObject({
    code: "daemon-unreachable",
    message: expect.stringContaining("/tmp/thaw-no-such/thaw.sock"),
  });
});

test("a daemon older than the client says so", async () => {
  const error = { code: "daemon-mismatch", message: "this daemon is older" };
  await withServer({ http: (_request, response) => sendJson(response, 426, { error }) }, async (client) => {
    await expect(client.host.info()).rejects.toMatchObject({ code: "daemon-mismatch" });
  });
});

describe("a daemon that somebody else starts", () => {
  /** A socket at which nobody accepts: what a daemon that was killed leaves. */
  async function leaveDeadSocket(folder: string): Promise<void> {
    const script = `require("net").createServer().listen(${JSON.stringify(join(folder, "thaw.sock"))}, () => process.kill(process.pid, "SIGKILL"))`;
    await once(spawn(process.execPath, ["-e", script]), "exit");
  }

  test("and that was killed is waited for, also by a request that comes only then", async () => {
    const folder = mkdtempSync(join(tmpdir(), "thaw-killed-"));
    await leaveDeadSocket(folder);
    const reach = { socket: join(folder, "thaw.sock"), home: folder, autostart: false };
    await using client = new Thaw({ ...reach, supervised: true });
    const asked = client.snapshots.get("node");
    await expect(new Thaw(reach).snapshots.get("node")).rejects.toMatchObject({ code: "daemon-unreachable" });
    rmSync(reach.socket);
    const script: TestScript = { http: (_request, response) => sendJson(response, 200, { id: "s1" }) };
    await using server = await startServer(script, { at: folder });
    expect(await asked).toEqual({ id: "s1" });
    expect(server.requests.length).toBe(1);
  });
});
