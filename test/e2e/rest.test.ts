/** The API as plain REST clients use it: one answer with a real status. */
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { thaw, thawJson } from "../helpers/thaw.ts";

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
    const long = await run({ argv: ["true", "x".repeat(100_000)] });
    expect(long).toMatchObject({
      status: 400,
      body: { error: { code: "usage", hint: expect.stringContaining("thaw cp") } },
    });
    expect((await run({ argv: ["true", ...Array(20).fill("x".repeat(100_000))] })).status).toBe(400);
    const { body } = await ask("GET", `/v1/sandboxes/${name}/execs`);
    expect(body.execs.length).toBeGreaterThan(2);
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
});
