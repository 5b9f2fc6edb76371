/** Files and downloads of templates: what a client sends, what a host fetches. */
import { createHash } from "node:crypto";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newRecipe } from "../../cli/template/init.ts";
import { readTemplate } from "../../client/index.ts";
import { NO_MAXIMUM } from "../../engine/network/host.ts";
import { Downloads } from "../../engine/templates/downloads.ts";
import { parseRecipe, recipeJsonSchema } from "../../engine/templates/recipe.ts";

const root = mkdtempSync(join(tmpdir(), "thaw-template-files-"));
const folder = join(root, "template");
const body = Buffer.from("what is fetched\n");
const sha256 = createHash("sha256").update(body).digest("hex");
const asked: string[] = [];
const server = createServer((request, response) => {
  asked.push(request.url ?? "");
  if (request.url === "/tool") return response.end(body);
  if (request.url === "/moved") return response.writeHead(302, { location: "/tool" }).end();
  if (request.url === "/away") return response.writeHead(302, { location: "http://169.254.169.254/" }).end();
  if (request.url === "/circle") return response.writeHead(302, { location: "/circle" }).end();
  if (request.url === "/huge") return response.writeHead(200, { "content-length": 2 ** 31 }).end("x");
  if (request.url === "/cut") {
    response.writeHead(200, { "content-length": 100 }).write("x");
    return void setTimeout(() => response.destroy(), 50);
  }
  return response.writeHead(404).end();
});
let origin = "";

beforeAll(async () => {
  mkdirSync(join(folder, "conf/deep"), { recursive: true });
  writeFileSync(join(folder, "conf/a"), "a");
  writeFileSync(join(folder, "conf/deep/b"), "b");
  writeFileSync(join(folder, "tool"), "#!/bin/sh\n");
  chmodSync(join(folder, "tool"), 0o755);
  writeFileSync(join(root, "outside"), "secret");
  symlinkSync("tool", join(folder, "inside-link"));
  symlinkSync("../outside", join(folder, "outside-link"));
  symlinkSync("..", join(folder, "up"));
  writeFileSync(join(folder, "large"), "");
  truncateSync(join(folder, "large"), 9 << 20);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(root, { recursive: true, force: true });
});

const text = (files: string) => `name: t\nfrom: debian:bookworm\nfiles: ${files}\n`;
async function send(files: string) {
  writeFileSync(join(folder, "template.yaml"), text(files));
  return (await readTemplate(folder)) as {
    recipe: string;
    files?: Record<string, { data: string; executable?: boolean }>;
  };
}

test("files and folders go with the recipe, and to where it says; links within the folder are followed", async () => {
  const { recipe, files } = await send(
    '[{ from: conf, to: /etc/app }, { from: tool, to: /usr/bin/ }, { from: ./inside-link, to: /x, mode: "0600", owner: nobody }]',
  );
  expect(Object.keys(files ?? {}).sort()).toEqual(["conf/a", "conf/deep/b", "inside-link", "tool"]);
  const { sent } = parseRecipe(recipe, "t.yaml", files as Parameters<typeof parseRecipe>[2]);
  expect(sent.map(({ to, mode, owner, data }) => [to, mode, owner, data.toString()])).toEqual([
    ["/etc/app/a", 0o644, "root", "a"],
    ["/etc/app/deep/b", 0o644, "root", "b"],
    ["/usr/bin/tool", 0o755, "root", "#!/bin/sh\n"],
    ["/x", 0o600, "nobody", "#!/bin/sh\n"],
  ]);
  expect(() => parseRecipe(recipe, "t.yaml")).toThrow("files: conf was not sent with the recipe");
});

test.each([
  ["outside-link", /lies outside/],
  ["up", /lies outside/],
  ["up/outside", /lies outside/],
  ["../outside", /lies outside/],
  ["none", /no such file/],
  ["large", /more than 8 MiB/],
])("%s is not sent", async (from, why) => {
  await expect(send(`[{ from: ${from}, to: /x }]`)).rejects.toMatchObject({
    code: "usage",
    message: expect.stringMatching(why),
  });
});

test("a recipe names no place outside its folder, none that is relative, and no digest that is none", () => {
  const bad = `${text("[{ from: ../x, to: /x }, { from: /etc/passwd, to: x, mode: rw }]")}fetch: [{ url: "file:///etc/passwd", sha256: abc, to: /a/../b }]\n`;
  const mistakes = () => {
    try {
      parseRecipe(bad, "t.yaml");
      return [];
    } catch (error) {
      return (error as { details: string[] }).details;
    }
  };
  expect(mistakes().map((line) => line.replace(/^t.yaml:\d+:\d+: /, "").replace(/:.*/, ""))).toEqual([
    ...["files.0.from", "files.1.from", "files.1.to", "files.1.mode"],
    ...["fetch.0.url", "fetch.0.sha256", "fetch.0.to"],
  ]);
});

test("what is fetched is kept by its digest; whatever goes wrong is named, and leaves nothing", async () => {
  const dir = join(root, "downloads");
  const downloads = new Downloads({ dir, host: NO_MAXIMUM, needDisk: async () => {} });
  const { signal } = new AbortController();
  const allow = [origin.slice("http://".length)];
  const get = (path: string, options: { allow?: string[]; sha256?: string } = {}) =>
    downloads.get(
      { url: `${origin}${path}`, sha256: options.sha256 ?? sha256 },
      { allow: options.allow ?? allow, signal },
    );
  await expect(get("/tool", { allow: [] })).rejects.toMatchObject({
    message: expect.stringMatching(/could not be fetched/),
  });
  expect(asked).toEqual([]);
  await expect(get("/tool", { sha256: "0".repeat(64) })).rejects.toMatchObject({
    ...{
      code: "build-failed",
      message: expect.stringMatching(/another digest/),
      details: [expect.stringContaining(sha256), expect.anything()],
    },
  });
  await expect(get("/none")).rejects.toThrow("status 404");
  await expect(get("/circle")).rejects.toThrow("more than 5 redirections");
  await expect(get("/away")).rejects.toThrow(/could not be fetched/);
  await expect(get("/huge")).rejects.toThrow("more than 1 GiB");
  await expect(get("/cut")).rejects.toThrow(/could not be fetched/);
  expect(readdirSync(dir)).toEqual([]);
  const localhost = origin.replace("127.0.0.1", "localhost");
  await expect(downloads.get({ url: `${localhost}/tool`, sha256 }, { allow: [], signal })).rejects.toThrow(
    /loopback|closed/,
  );
  const full = new Downloads({ dir, host: NO_MAXIMUM, needDisk: () => Promise.reject(new Error("no room")) });
  await expect(full.get({ url: `${origin}/tool`, sha256 }, { allow, signal })).rejects.toThrow("no room");

  expect(readFileSync(await get("/moved"))).toEqual(body);
  const before = asked.length;
  expect(readFileSync(await get("/tool"))).toEqual(body);
  expect(asked).toHaveLength(before);
  expect(readdirSync(dir)).toEqual([sha256]);
});

test("an editor that knows the JSON Schema complains about the same `from` as a build", () => {
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(
    recipeJsonSchema() as object,
  );
  const from = (text: string) => ({ name: "shop", from: text });
  const good = ["debian:bookworm", "debian:sid", "oci:ghcr.io/acme/app:1.4", "oci:localhost:5000/a/b"];
  for (const text of [...good, `oci:docker.io/library/ubuntu@sha256:${sha256}`]) {
    expect(validate(from(text)), text).toBe(true);
    expect(parseRecipe(`name: shop\nfrom: ${text}\n`, "t.yaml").from).toBe(text);
  }
  for (const text of [
    "bookworm",
    "debian:stable",
    "debian:oldoldstable",
    "debian:bookworm-backports",
    "debian:bookworm ",
    "oci:ubuntu",
    "oci:HOST/Upper",
    "x debian:trixie",
  ]) {
    expect(validate(from(text)), text).toBe(false);
    expect(() => parseRecipe(`name: shop\nfrom: "${text}"\n`, "t.yaml"), text).toThrow(/mistake/);
  }
});

test("the JSON Schema in docs/ is the recipe's: node scripts/write-schemas.ts; a new recipe has no mistakes", () => {
  expect(JSON.parse(readFileSync("docs/template.schema.json", "utf8"))).toEqual(recipeJsonSchema());
  const written = newRecipe("shop", "debian:bookworm");
  expect(parseRecipe(written, "t.yaml")).toMatchObject({ name: "shop", from: "debian:bookworm", setup: [] });
  const all = written
    .replace(/^# (?=[a-zA-Z]+:| {2}- )/gm, "")
    .replace("<64 hex digits>", sha256)
    .replace(/^# {3}- /gm, "  - ");
  expect(parseRecipe(all, "t.yaml", { "app.toml": { data: "", executable: false } })).toMatchObject({
    setup: [{ run: "npm ci" }],
    sent: [{ to: "/etc/app.toml" }],
  });
});
