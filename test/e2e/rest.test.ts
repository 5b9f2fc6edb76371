/** The API as plain REST clients use it: one answer with a real status. */
import { request } from "node:http";
import { connect } from "node:net";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tooLong } from "../../api/command-length.ts";
import { event } from "../../api/event.ts";
import { Thaw } from "../../client/index.ts";
import { testHome } from "../helpers/test-home.ts";
import { killDaemon, thaw, thawEnv, thawJson } from "../helpers/thaw.ts";

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the API answers, looked at by the tests
  body: any;
}

const name = `rest-${process.pid}`;
let socket: string;

function ask(method: string, path: string, json?: unknown): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const headers = { accept: "application/json", "content-type": "application/json" };
  const asked = request({ socketPath: socket, method, path, headers }, async (response) => {
    let text = "";
    for await (const chunk of response.setEncoding("utf8")) text += chunk;
    resolve({ status: response.statusCode ?? 0, body: text === "" ? null : JSON.parse(text) });
  });
  asked.once("error", reject);
  asked.end(json === undefined ? undefined : JSON.stringify(json));
  return promise;
}

beforeAll(async () => {
  await thaw(["daemon", "start"]);
  ({ socket } = await thawJson<{ socket: string }>(["daemon", "status"]));
});
afterAll(() => thaw(["rm", name]));

describe("a plain REST client", () => {
  test("creates a sandbox: 201, and 409 for the same name", async () => {
    const made = await ask("POST", "/v1/sandboxes", { name, labels: { a: "1", b: "2" } });
    expect(made).toMatchObject({ status: 201, body: { sandbox: { name, state: "running" } } });
    expect(await ask("POST", "/v1/sandboxes", { name })).toMatchObject({
      status: 409,
      body: { error: { code: "conflict" } },
    });
    const missing = await ask("POST", "/v1/sandboxes", { source: { snapshot: "no-such" } });
    expect(missing).toMatchObject({ status: 404, body: { error: { code: "not-found" } } });
  });

  test("sends no body though it names JSON: as without a type", async () => {
    const gone = await ask("DELETE", "/v1/sandboxes/no-such");
    expect(gone).toMatchObject({ status: 404, body: { error: { code: "not-found" } } });
    const nothing = await ask("POST", `/v1/sandboxes/${name}/exec`);
    expect(nothing).toMatchObject({ status: 400, body: { error: { code: "usage" } } });
  });

  test("runs a command in one call: output, exit code, a limit, and what could not be started", async () => {
    const run = (body: object) => ask("POST", `/v1/sandboxes/${name}/exec`, body);
    expect(await run({ argv: ["sh", "-c", "echo out; echo err >&2; exit 3"] })).toMatchObject({
      status: 200,
      body: { exitCode: 3, stdout: "out\n", stderr: "err\n", truncated: false },
    });
    expect(await run({ argv: ["seq", "100000"], maxOutputBytes: 10 })).toMatchObject({
      body: { exitCode: 0, stdout: "1\n2\n3\n4\n5\n", truncated: true },
    });
    expect(await run({ argv: ["sh", "-c", "kill -9 $$"] })).toMatchObject({ body: { exitCode: 137 } });
    expect(await run({ argv: ["no-such-program"] })).toMatchObject({
      status: 409,
      body: { error: { code: "exec-not-found" } },
    });
    const { body } = await ask("GET", `/v1/sandboxes/${name}/execs`);
    expect(body.execs.length).toBeGreaterThan(2);
  });

  describe("a command as long as Linux takes it", () => {
    const long = "x".repeat(131_071);
    const isRefused = { code: "usage", hint: expect.stringContaining("thaw cp") };
    /** With one argument of `rest` bytes more this is the longest command that is taken. */
    const most = (rest: number): string[] => [
      "sh",
      "-c",
      "echo $#",
      ...Array(15).fill(long),
      "y".repeat(rest),
    ];
    /** Variables of the template count too. */
    const template = 200;
    let least = 0;
    for (let over = 131_072; over - least > 1; ) {
      const middle = Math.floor((least + over) / 2);
      if (tooLong({ argv: most(middle) }) === undefined) least = middle;
      else over = middle;
    }

    test("over REST: an argument, a variable, all of them, and bytes that JSON makes six of", async () => {
      const run = (body: object) => ask("POST", `/v1/sandboxes/${name}/exec`, body);
      const count = ["sh", "-c", 'printf %s "$1$X" | wc -c', "sh"];
      expect(await run({ argv: [...count, long] })).toMatchObject({
        status: 200,
        body: { stdout: "131071\n" },
      });
      const variable = await run({ argv: [...count, ""], env: { X: long.slice(2) } });
      expect(variable).toMatchObject({ status: 200, body: { stdout: "131069\n" } });
      const control = await run({ argv: [...count, "\u0001".repeat(131_071)] });
      expect(control).toMatchObject({ status: 200, body: { stdout: "131071\n" } });
      const all = await run({ argv: most(least - template) });
      expect(all).toMatchObject({ status: 200, body: { exitCode: 0, stdout: "15\n" } });
      expect(all.body.exec.argv.join("").length).toBeLessThan(20_000);
      for (const body of [
        { argv: [...count, `${long}x`] },
        { argv: [...count, "é".repeat(65_536)] },
        { argv: [...count, ""], env: { X: long.slice(1) } },
        { argv: most(least + 1) },
      ])
        expect(await run(body)).toMatchObject({ status: 400, body: { error: isRefused } });
      const { body } = await ask("GET", `/v1/sandboxes/${name}/execs`);
      expect(body.execs.length).toBeGreaterThan(2);
    });

    test("by the SDK and over the WebSocket", async () => {
      await using sdk = new Thaw({ home: testHome(), socket });
      const sandbox = sdk.sandboxes.at(name);
      const exec = await sandbox.start(most(least - template));
      const lines: string[] = [];
      for await (const { text } of exec.lines()) lines.push(text);
      expect(lines).toEqual(["15"]);
      await expect(sandbox.start(most(least + 1))).rejects.toMatchObject(isRefused);
      const chunks: Uint8Array[] = [];
      const ran = await sdk.run(
        { create: {}, exec: { argv: most(least - template) } },
        { stdout: (chunk) => void chunks.push(chunk.slice()) },
      );
      expect([(await ran.result).exit?.code, Buffer.concat(chunks).toString()]).toEqual([0, "15\n"]);
      const longer = { create: {}, exec: { argv: most(131_071), env: { X: "y" } } };
      await expect(sdk.run(longer)).rejects.toMatchObject(isRefused);
    });

    test("by the command line", async () => {
      const { exitCode, stdout } = await thaw([
        "exec",
        name,
        "--",
        "sh",
        "-c",
        'printf %s "$1" | wc -c',
        "sh",
        long,
      ]);
      expect([exitCode, stdout]).toEqual([0, "131071\n"]);
      const words = Array(14).fill(long);
      const many = await thaw(["exec", name, "--", "sh", "-c", "echo $#", "sh", ...words]);
      expect([many.exitCode, many.stdout]).toEqual([0, "14\n"]);
      const script =
        'x=$(head -c 131072 /dev/zero | tr "\\0" x); exec "$0" dist/thaw.mjs exec -e X="$x" "$1" -- true';
      // The host's own limit comes first: a shell can't pass on what is longer.
      expect(
        (await execa("sh", ["-c", script, process.execPath, name], { env: thawEnv(), reject: false }))
          .exitCode,
      ).toBe(126);
    });
  });

  test("another user starts at home, or in / where there is none", async () => {
    const { body } = await ask("POST", `/v1/sandboxes/${name}/exec`, { argv: ["pwd"], user: "nobody" });
    expect(body).toMatchObject({ exitCode: 0, stdout: "/\n", stderr: "" });
  });

  test("changes labels, and reads lists page by page with the id of the last event", async () => {
    const changed = await ask("PATCH", `/v1/sandboxes/${name}`, { labels: { a: null, c: "3" } });
    expect(changed).toMatchObject({ status: 200, body: { labels: { b: "2", c: "3" } } });
    expect(changed.body.labels).not.toHaveProperty("a");
    const { body } = await ask("GET", "/v1/sandboxes?limit=1");
    expect(body.sandboxes).toHaveLength(1);
    expect(body.lastEvent).toBeGreaterThan(0);
    const after = encodeURIComponent(`${body.sandboxes[0].createdAt} ${body.sandboxes[0].id}`);
    const rest = await ask("GET", `/v1/sandboxes?limit=1000&after=${after}`);
    expect(rest.body.sandboxes.map(({ id }: { id: string }) => id)).not.toContain(body.sandboxes[0].id);
    expect(rest.body.next).toBeNull();
  });

  test("captures, snapshots and execs come in pages too, each with the last event", async () => {
    await using sdk = new Thaw({ home: testHome(), socket });
    const sandbox = sdk.sandboxes.at(name);
    const made = [await sandbox.capture(), await sandbox.capture()];
    await sandbox.exec(["true"]);
    const lists = {
      captures: (query: object) => sdk.captures.list(query),
      snapshots: (query: object) => sdk.snapshots.page(query),
      execs: (query: object) => sandbox.execPage(query),
    };
    for (const [what, list] of Object.entries(lists)) {
      // biome-ignore lint/suspicious/noExplicitAny: three lists, looked at alike
      const idsOf = (page: any): string[] => page[what].map(({ id }: { id: string }) => id);
      const all = await list({ limit: 1000 });
      expect(all.lastEvent, what).toBeGreaterThan(0);
      const found: string[] = [];
      let after: string | undefined;
      do {
        const page = await list({ limit: 1, ...(after === undefined ? {} : { after }) });
        expect(idsOf(page), what).toHaveLength(1);
        found.push(...idsOf(page));
        after = page.next ?? undefined;
      } while (after !== undefined);
      expect(found, what).toEqual(idsOf(all));
    }
    const [newest, older] = (await sdk.captures.list({ limit: 2 })).captures;
    expect([newest?.id, older?.id]).toEqual(made.map(({ id }) => id).reverse());
    for (const { id } of made) await sdk.captures.remove(id);
  });

  test("every event of this host has the details that its type says", async () => {
    await using sdk = new Thaw({ home: testHome(), socket });
    const types = new Set<string>();
    for await (const one of sdk.events({ follow: false })) {
      expect(event.safeParse(one).error, JSON.stringify(one)).toBeUndefined();
      types.add(one.type);
    }
    expect([...types]).toEqual(expect.arrayContaining(["sandbox.running", "exec.ended", "capture.created"]));
  });

  test("stats: one sample, or one after another, over a restart of the daemon", async () => {
    await using sdk = new Thaw({ home: testHome(), socket });
    const once = await ask("GET", "/v1/stats");
    expect(once.body.sandboxes).toContainEqual(expect.objectContaining({ name, state: "running" }));
    const shares: (number | null)[] = [];
    for await (const { host, sandboxes } of sdk.stats({ follow: true, intervalMs: 1000 })) {
      expect(host.availableMib).toBeLessThan(host.memoryMib);
      const own = sandboxes.find((one) => one.name === name);
      if (own === undefined) continue;
      expect(own.pssBytes).toBeGreaterThan(0);
      shares.push(own.cpuPercent);
      if (shares.length === 2) await killDaemon();
      if (shares.length === 4) break;
    }
    expect(shares[1]).toBeGreaterThanOrEqual(0);
    expect((await ask("GET", "/v1/stats?intervalMs=10")).status).toBe(400);
  });

  test("50 readers of a log that never read: bounded, and another reader gets all of it", async () => {
    await using sdk = new Thaw({ home: testHome(), socket });
    const bytes = 8_000_000;
    const exec = await sdk.sandboxes.at(name).start(["sh", "-c", `sleep 1; head -c ${bytes} /dev/zero`]);
    const path = `/v1/sandboxes/${name}/execs/${exec.id}/logs?follow=1`;
    const silent = Array.from({ length: 50 }, () => {
      const connection = connect(socket).pause();
      connection.on("error", () => {});
      connection.write(`GET ${path} HTTP/1.1\r\nHost: thaw\r\n\r\n`);
      return connection;
    });
    try {
      const before = (await sdk.host.info()).rssBytes;
      let read = 0;
      for await (const chunk of exec.stdout) read += chunk.length;
      expect(read).toBe(bytes);
      const { rssBytes } = await sdk.host.info();
      expect(rssBytes - before).toBeLessThan(300 << 20);
    } finally {
      for (const connection of silent) connection.destroy();
    }
  });
});
