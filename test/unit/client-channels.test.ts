import { expect, test } from "vitest";
import type { RunRequest } from "../../api/schema.ts";
import { Thaw } from "../../client/index.ts";
import type { Peer, TestScript } from "./client-server.ts";
import { sampleExec, sampleSandbox, sendJson, startServer } from "./client-server.ts";

async function withServer(
  script: TestScript,
  work: (client: Thaw, peers: Peer[]) => Promise<void>,
): Promise<void> {
  await using server = await startServer(script);
  await using client = new Thaw({ socket: server.socket, home: server.folder, autostart: false });
  await work(client, server.peers);
}

const request = { create: {}, exec: { argv: ["true"] } };

test("stdout and stderr arrive apart, in order, and the exec ends", async () => {
  const script: TestScript = {
    peer: async (peer) => {
      await peer.until(() => peer.control.length > 0);
      peer.start();
      peer.write(1, "out");
      peer.write(2, "err");
      peer.write(1, "more");
      peer.finish(7);
    },
  };
  await withServer(script, async (client, peers) => {
    const seen: string[] = [];
    const connection = await client.run(request, {
      stdout: (chunk) => void seen.push(`1${chunk}`),
      stderr: (chunk) => void seen.push(`2${chunk}`),
    });
    const exec = await connection.result;
    expect(exec.exit?.code).toBe(7);
    expect(seen).toEqual(["1out", "2err", "1more"]);
    expect(peers[0]?.control[0]).toMatchObject(request);
  });
});

test("output is acknowledged once it is dealt with, and the end waits for it", async () => {
  const gate = Promise.withResolvers<void>();
  const script: TestScript = {
    peer: async (peer) => {
      await peer.until(() => peer.control.length > 0);
      peer.start();
      peer.write(1, Buffer.alloc(300 * 1024));
      peer.write(2, "x");
      await peer.until(() =>
        peer.control.some((message) => "type" in message && message.type === "ack" && message.err === 1),
      );
      expect(peer.control.at(-1)).toEqual({ type: "ack", out: 0, err: 1 });
      gate.resolve();
      await peer.until(() =>
        peer.control.some((message) => "type" in message && message.type === "ack" && message.out > 0),
      );
      peer.finish(0);
    },
  };
  await withServer(script, async (client) => {
    let done = false;
    const stdout = async (): Promise<void> => {
      await gate.promise;
      done = true;
    };
    const connection = await client.run(request, { stdout });
    await connection.result;
    expect(done).toBe(true);
  });
});

test("a connection that ends behind the exit is not made anew while output is still dealt with", async () => {
  const gate = Promise.withResolvers<void>();
  const script: TestScript = {
    peer: async (peer) => {
      await peer.until(() => peer.control.length > 0);
      peer.start();
      peer.write(1, "late");
      // Long enough for a client that comes back by mistake.
      peer.ws.once("close", () => setTimeout(gate.resolve, 200));
      peer.finish(0);
    },
  };
  await withServer(script, async (client, peers) => {
    let text = "";
    const stdout = async (chunk: Uint8Array): Promise<void> => {
      await gate.promise;
      text += Buffer.from(chunk).toString();
    };
    const connection = await client.run(request, { stdout });
    expect((await connection.result).exit?.code).toBe(0);
    expect(text).toBe("late");
    expect(peers).toHaveLength(1);
  });
});

test("a lost connection goes on where it was, both ways", async () => {
  const script: TestScript = {
    peer: async (peer) => {
      if (peer.url.pathname === "/v1/run") {
        await peer.until(() => peer.control.length > 0);
        peer.start();
        peer.write(1, "abc");
        peer.write(2, "E");
        await peer.until(() => Buffer.concat(peer.stdin).length >= 5);
        peer.say({ type: "stdin", offset: 2 });
        peer.ws.terminate();
        return;
      }
      expect(peer.url.pathname).toBe("/v1/sandboxes/s1/execs/x1/attach");
      expect(Object.fromEntries(peer.url.searchParams)).toEqual({
        out: "3",
        err: "1",
        stdin: "1",
        lease: "1",
      });
      peer.say({ type: "started", exec: sampleExec });
      peer.say({ type: "stdin", offset: 3 });
      peer.write(1, "def");
      await peer.until(() => peer.stdinEnded);
      expect(Buffer.concat(peer.stdin).toString()).toBe("4567");
      peer.finish(0);
    },
  };
  await withServer(script, async (client) => {
    let out = "";
    const stdout = (chunk: Uint8Array): void => {
      out += Buffer.from(chunk).toString();
    };
    const connection = await client.run({ create: {}, exec: { argv: ["cat"], stdin: true } }, { stdout });
    await connection.writeStdin(Buffer.from("12345"));
    await connection.writeStdin(Buffer.from("67"));
    connection.endStdin();
    await connection.result;
    expect(out).toBe("abcdef");
  });
});

test("no more stdin is sent than the guest has room for", async () => {
  const script: TestScript = {
    peer: async (peer) => {
      await peer.until(() => peer.control.length > 0);
      peer.start();
      await peer.until(() => Buffer.concat(peer.stdin).length >= 256 * 1024);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(Buffer.concat(peer.stdin).length).toBe(256 * 1024);
      peer.say({ type: "stdin", offset: 256 * 1024 });
      await peer.until(() => peer.stdinEnded);
      expect(Buffer.concat(peer.stdin).length).toBe(400 * 1024);
      peer.finish(0);
    },
  };
  await withServer(script, async (client) => {
    const connection = await client.run({ create: {}, exec: { argv: ["cat"], stdin: true } }, {});
    await connection.writeStdin(Buffer.alloc(400 * 1024));
    connection.endStdin();
    expect((await connection.result).exit?.code).toBe(0);
  });
});

test("the daemon's error is the result's", async () => {
  const error = { code: "exec-not-found" as const, message: "nope: not found in the sandbox" };
  await withServer({ peer: (peer) => peer.say({ type: "error", error }) }, async (client) => {
    const connection = await client.run(request, {});
    await expect(connection.result).rejects.toMatchObject({
      code: "exec-not-found",
      exitCode: 127,
      message: error.message,
    });
  });
});

test("a connection lost before the command started: the same request is made again, and goes on with the same command", async () => {
  const script: TestScript = {
    peer: async (peer) => {
      await peer.until(() => peer.control.length > 0);
      if (!peer.url.pathname.endsWith("/run")) {
        peer.write(1, "second ");
        return peer.finish(3);
      }
      if (peers < 2) {
        peers += 1;
        return peer.ws.terminate();
      }
      // Its first output, and gone again: from here on it is known that it was started.
      peer.say({ type: "created", sandbox: sampleSandbox });
      peer.write(1, "first ");
      setTimeout(() => peer.ws.terminate(), 50);
    },
  };
  let peers = 0;
  await using server = await startServer(script);
  await using client = new Thaw({ socket: server.socket, home: server.folder, autostart: false });
  let text = "";
  const connection = await client.run(
    { ...request, hold: true },
    {
      stdout: (chunk) => {
        text += chunk;
      },
    },
  );
  connection.start();
  expect((await connection.result).exit?.code).toBe(3);
  expect(text).toBe("first second ");
  const runs = server.peers.filter(({ url }) => url.pathname === "/v1/run");
  expect(runs.length).toBe(3);
  expect(new Set(runs.map(({ headers }) => headers["thaw-request"])).size).toBe(1);
  const ids = runs.map(({ control }) => (control[0] as RunRequest).exec.id);
  expect(new Set(ids).size).toBe(1);
  expect(runs.at(-1)?.control[1]).toEqual({ type: "start" });
  const attached = server.peers.at(-1)?.url;
  expect(attached?.pathname).toBe(`/v1/sandboxes/${sampleSandbox.id}/execs/${ids[0]}/attach`);
  expect(attached?.searchParams.get("out")).toBe("6");
  // The daemon went away meanwhile: the sandbox is removed by its client.
  expect(server.requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
    `DELETE /v1/sandboxes/${sampleSandbox.id}`,
  ]);
});

test("an abort ends the connection with its reason", async () => {
  const abort = new AbortController();
  await withServer({ peer: (peer) => peer.start() }, async (client, peers) => {
    const connection = await client.run(request, { signal: abort.signal });
    const closed = new Promise((resolve) => peers[0]?.ws.once("close", resolve));
    abort.abort(new Error("enough"));
    await expect(connection.result).rejects.toThrow("enough");
    await closed;
  });
});

test("a consumer that fails ends the connection with its error", async () => {
  const script: TestScript = {
    peer: (peer) => {
      peer.start();
      peer.write(1, "x");
    },
  };
  await withServer(script, async (client) => {
    const stdout = (): Promise<void> => Promise.reject(Object.assign(new Error("broken"), { code: "EPIPE" }));
    const connection = await client.run(request, { stdout });
    await expect(connection.result).rejects.toThrow("broken");
  });
});

test("an attached client is the writer from the start, whoever wrote before", async () => {
  const script: TestScript = {
    peer: async (peer) => {
      peer.say({ type: "started", exec: sampleExec });
      peer.say({ type: "stdin", offset: 1000 });
      await peer.until(() => peer.stdinEnded);
      expect(Buffer.concat(peer.stdin).toString()).toBe("mine");
      peer.finish(0);
    },
  };
  await withServer(script, async (client) => {
    const connection = await client.sandboxes.at("s1").execAt("x1").attach({ stdin: true });
    await connection.writeStdin(Buffer.from("mine"));
    connection.endStdin();
    expect((await connection.result).exit?.code).toBe(0);
  });
});

test("an attached client may write though the daemon names no offset yet", async () => {
  const script: TestScript = {
    peer: async (peer) => {
      peer.say({ type: "started", exec: sampleExec });
      await peer.until(() => peer.stdinEnded);
      peer.finish(0);
    },
  };
  await withServer(script, async (client) => {
    const connection = await client.sandboxes.at("s1").execAt("x1").attach({ stdin: true });
    connection.endStdin();
    await connection.result;
  });
});

test("a client that comes second watches: nothing it types is sent, and it comes back as a watcher", async () => {
  const attached = {
    type: "attached",
    out: 100,
    err: 7,
    outEnd: 103,
    errEnd: 7,
    writtenBy: "ann@laptop",
  } as const;
  let connections = 0;
  const script: TestScript = {
    peer: async (peer) => {
      connections += 1;
      const query = Object.fromEntries(peer.url.searchParams);
      peer.say({ type: "started", exec: sampleExec });
      if (connections === 1) {
        expect(query).toEqual({ out: "0", err: "0", stdin: "1", scrollback: "50", as: "bob" });
        peer.say({ ...attached, writer: false });
        peer.say({ type: "stdin", offset: 12 });
        peer.write(1, "abc");
        await peer.until(() =>
          peer.control.some((message) => "type" in message && message.type === "signal"),
        );
        expect(peer.stdin).toEqual([]);
        peer.ws.terminate();
        return;
      }
      expect(query).toEqual({ out: "103", err: "7", as: "bob" });
      peer.finish(0);
    },
  };
  await withServer(script, async (client) => {
    let out = "";
    const heard: string[] = [];
    const connection = await client.sandboxes
      .at("s1")
      .execAt("x1")
      .attach({
        ...{ stdin: true, scrollback: 50, as: "bob" },
        stdout: (chunk) => {
          out += Buffer.from(chunk).toString();
        },
        onStatus: ({ type }) => void heard.push(type),
      });
    while (out !== "abc") await new Promise((resolve) => setTimeout(resolve, 5));
    expect(connection.watching).toBe(true);
    await connection.writeStdin(Buffer.alloc(1 << 20));
    connection.sendSignal("INT");
    await connection.result;
    expect(heard.slice(0, 2)).toEqual(["started", "attached"]);
  });
});

test("a writer that is taken over from watches on, and is told by whom", async () => {
  const script: TestScript = {
    peer: async (peer) => {
      peer.say({ type: "started", exec: sampleExec });
      peer.say({ type: "attached", out: 0, err: 0, outEnd: 0, errEnd: 0, writer: true, writtenBy: null });
      peer.say({ type: "stdin", offset: 0 });
      await peer.until(() => peer.stdin.length > 0);
      peer.say({ type: "writer-lost", to: "ann@laptop" });
      peer.write(1, "on");
      await peer.until(() => peer.control.some((message) => "type" in message && message.type === "signal"));
      expect(Buffer.concat(peer.stdin).toString()).toBe("mine");
      peer.finish(3);
    },
  };
  await withServer(script, async (client) => {
    const lost = Promise.withResolvers<string>();
    const connection = await client.sandboxes
      .at("s1")
      .execAt("x1")
      .attach({
        stdin: true,
        onStatus: (message) => message.type === "writer-lost" && lost.resolve(message.to),
      });
    await connection.writeStdin(Buffer.from("mine"));
    expect(await lost.promise).toBe("ann@laptop");
    await connection.writeStdin(Buffer.from("not heard"));
    connection.sendSignal("INT");
    expect((await connection.result).exit?.code).toBe(3);
  });
});

test("whoever joins late acknowledges what comes before its output", async () => {
  const begin = 100_000_000;
  const script: TestScript = {
    peer: async (peer) => {
      peer.say({ type: "started", exec: sampleExec });
      const ends = { outEnd: begin + 4, errEnd: 0 };
      peer.say({ type: "attached", out: begin, err: 0, ...ends, writer: true, writtenBy: null });
      // Else the daemon takes it for a client that lags this far behind.
      await peer.until(() =>
        peer.control.some((message) => "type" in message && message.type === "ack" && message.out === begin),
      );
      peer.write(1, "late");
      peer.finish(0);
    },
  };
  await withServer(script, async (client) => {
    const seen: string[] = [];
    const stdout = (chunk: Uint8Array): void => void seen.push(new TextDecoder().decode(chunk));
    const connection = await client.sandboxes.at("s1").execAt("x1").attach({ scrollback: 4, stdout });
    await connection.result;
    expect(seen).toEqual(["late"]);
  });
});

test("a reader of output that is no longer kept is told where, once it has what was before; the other channel goes on", async () => {
  const script: TestScript = {
    http: (_request, response) => sendJson(response, 200, sampleExec),
    peer: (peer) => {
      peer.write(1, "before");
      peer.say({ type: "dropped", channel: "out", offset: 1000 });
      peer.write(1, "behind the gap");
      peer.write(2, "all of it");
      peer.finish(0);
    },
  };
  await withServer(script, async (client) => {
    const exec = await client.sandboxes.at("s1").start(["true"]);
    const seen = { stdout: "", stderr: "" };
    const read = async (channel: "stdout" | "stderr"): Promise<void> => {
      for await (const chunk of exec[channel]) seen[channel] += Buffer.from(chunk);
    };
    const [out, err] = await Promise.allSettled([read("stdout"), read("stderr")]);
    expect(seen).toEqual({ stdout: "before", stderr: "all of it" });
    expect(out).toMatchObject({
      reason: { code: "conflict", message: expect.stringContaining("byte 1000") },
    });
    expect(err.status).toBe("fulfilled");
  });
});
