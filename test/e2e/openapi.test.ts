/** The OpenAPI document as others use it: a linter passes it, and a public generator makes a client of it that works. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { generateSource } from "oazapfts";
import { build } from "rolldown";
import { Agent, fetch as fetchOver } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Thaw } from "../../client/index.ts";
import { testHome } from "../helpers/test-home.ts";
import { thaw, thawJson } from "../helpers/thaw.ts";

// biome-ignore lint/suspicious/noExplicitAny: a document, and a client that is made of it
type Any = any;

const folder = mkdtempSync(join(tmpdir(), "thaw-openapi-"));
const path = join(folder, "openapi.json");
const name = `generated-${process.pid}`;
let sdk: Thaw;
let socket: string;
let document: Any;

beforeAll(async () => {
  await thaw(["daemon", "start"]);
  ({ socket } = await thawJson<{ socket: string }>(["daemon", "status"]));
  sdk = new Thaw({ home: testHome(), socket });
  document = await sdk.host.openApi();
  writeFileSync(path, JSON.stringify(document));
});
afterAll(async () => {
  await thaw(["rm", name]);
  await sdk.close();
  rmSync(folder, { recursive: true, force: true });
});

const operations = (): Any[] =>
  Object.values(document.paths).flatMap((methods) => Object.values(methods as object));

describe("the document", () => {
  test("passes redocly's recommended rules, warnings included", async () => {
    const config = await createConfig({ extends: ["recommended"] });
    const problems = await lintFromString({ source: JSON.stringify(document), absoluteRef: path, config });
    const told = problems.map(
      ({ ruleId, message, location: [at] }) => `${ruleId}: ${message} ${at?.pointer}`,
    );
    expect(told).toEqual([]);
  });

  test("names each operation and its errors, and has the shapes as components", () => {
    expect(operations().length).toBeGreaterThan(60);
    expect(new Set(operations().map(({ operationId }) => operationId)).size).toBe(operations().length);
    for (const { operationId, summary, tags, responses } of operations()) {
      expect(summary, operationId).toMatch(/^[A-Z]/);
      expect(tags, operationId).toHaveLength(1);
      for (const status of [400, 500])
        expect(responses[status].content["application/json"].schema).toEqual({
          $ref: "#/components/schemas/ErrorBody",
        });
    }
    expect(Object.keys(document.components.schemas)).toEqual(
      expect.arrayContaining([
        "CreateRequest",
        "ErrorBody",
        "Event",
        "Exec",
        "Sandbox",
        "Snapshot",
        "StreamLine",
      ]),
    );
    expect(document.paths["/v1/events"].get.responses[200].content).toHaveProperty("text/event-stream");
    expect(document.paths["/v1/sandboxes"].post.responses[200].content).toHaveProperty(
      "application/x-ndjson",
    );
    expect(
      document.paths["/v1/sandboxes"].post.responses[201].content["application/json"].schema.properties,
    ).toEqual({
      sandbox: { $ref: "#/components/schemas/Sandbox" },
    });
    const { put } = document.paths["/v1/sandboxes/{sandbox}/files"];
    expect(put.requestBody.content).toHaveProperty("application/octet-stream");
  });
});

test("a client that oazapfts generates makes a sandbox, lists it and runs a command in it", async () => {
  const source = join(folder, "client.ts");
  writeFileSync(source, await generateSource(path));
  const bundle = join(folder, "client.mjs");
  await build({
    input: source,
    platform: "node",
    resolve: { modules: [resolve("node_modules")] },
    output: { file: bundle, format: "esm" },
  });
  const client: Any = await import(bundle);
  const dispatcher = new Agent({ connect: { socketPath: socket } });
  client.defaults.baseUrl = "http://thaw";
  client.defaults.headers = { accept: "application/json" };
  client.defaults.fetch = (url: string, init: object) => fetchOver(url, { ...init, dispatcher });
  const made = await client.createSandbox({ name, labels: { by: "generator" } });
  expect([made.status, made.data.sandbox.name]).toEqual([201, name]);
  const listed = await client.listSandboxes({});
  expect(listed.data.sandboxes.map((one: Any) => one.name)).toContain(name);
  const ran = await client.runExec(name, { argv: ["echo", "hello"] });
  expect(ran.data).toMatchObject({ exitCode: 0, stdout: "hello\n" });
  const missing = await client.getSandbox("no-such");
  expect([missing.status, missing.data.error.code]).toEqual([404, "not-found"]);
  await dispatcher.close();
});
