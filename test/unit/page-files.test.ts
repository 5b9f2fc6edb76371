import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { brotliCompressSync, brotliDecompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { servePage } from "../../daemon/access/page-files.ts";

const work = mkdtempSync(join(tmpdir(), "thaw-page-"));
const folder = join(work, "web");
const script = "console.log('page')";
let port = 0;
let isBuilt = true;
const server = createServer((incoming, response) => {
  servePage(isBuilt ? folder : join(work, "absent"), incoming, response).catch((error: Error) => {
    response.writeHead(404, { "content-type": "application/json" });
    response.end(JSON.stringify({ message: error.message }));
  });
});

beforeAll(async () => {
  mkdirSync(join(folder, "assets", "deep"), { recursive: true });
  writeFileSync(join(work, "secret.txt"), "secret");
  writeFileSync(join(folder, "index.html"), "<p>page");
  writeFileSync(join(folder, ".hidden"), "hidden");
  writeFileSync(join(folder, "assets", "a-1.js"), script);
  writeFileSync(join(folder, "assets", "a-1.js.br"), brotliCompressSync(script));
  writeFileSync(join(folder, "assets", "b.css"), "p{}");
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => {
  server.close();
  rmSync(work, { recursive: true, force: true });
});

async function get(path: string, headers: Record<string, string> = {}, method = "GET") {
  const asked = request({ host: "127.0.0.1", port, path, method, headers, agent: false });
  asked.end();
  const [answer] = await once(asked, "response");
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk);
  return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) };
}

const html = { accept: "text/html,application/xhtml+xml" };

test("the page is at every address that is no file, for whoever wants HTML", async () => {
  for (const path of ["/", "/sandboxes/web", "/sandboxes/a%2fb?x=1", "/index.html"]) {
    const { status, headers, body } = await get(path, html);
    expect([status, String(body), headers["content-type"], headers["cache-control"]], path).toEqual([
      ...[200, "<p>page", "text/html; charset=utf-8", "no-cache"],
    ]);
    expect(headers["content-security-policy"]).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    );
    expect(headers).toMatchObject({
      ...{ "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" },
      ...{ "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin" },
    });
  }
  expect((await get("/sandboxes/web", { accept: "*/*" })).status).toBe(404);
  const head = await get("/", html, "HEAD");
  expect([head.status, head.headers["content-length"], head.body.length]).toEqual([200, "7", 0]);
});

test("assets stay in a browser's cache, and are sent compressed", async () => {
  const plain = await get("/assets/a-1.js");
  expect([String(plain.body), plain.headers["content-encoding"]]).toEqual([script, undefined]);
  expect(plain.headers).toMatchObject({
    ...{
      "cache-control": "public, max-age=31536000, immutable",
      "content-type": "text/javascript; charset=utf-8",
    },
  });
  const packed = await get("/assets/a-1.js", { "accept-encoding": "gzip, deflate, br" });
  expect(packed.headers["content-encoding"]).toBe("br");
  expect(String(brotliDecompressSync(packed.body))).toBe(script);
  for (const refused of ["br;q=0", "br ; q=0.0, gzip", "gzip"])
    expect((await get("/assets/a-1.js", { "accept-encoding": refused })).headers["content-encoding"]).toBe(
      undefined,
    );
  expect((await get("/assets/b.css", { "accept-encoding": "br" })).headers["content-type"]).toBe(
    "text/css; charset=utf-8",
  );
  expect((await get("/assets/gone.js", html)).status, "an old page's").toBe(404);
});

test("no address leads out of the folder", async () => {
  const paths = [
    ..."/../secret.txt /assets/../../secret.txt /%2e%2e/secret.txt /..%2fsecret.txt /assets/..%5c..%5csecret.txt".split(
      " ",
    ),
    ...[
      "//secret.txt",
      "/.hidden",
      "/assets",
      "/assets/",
      "/assets/deep",
      "/%00",
      "/index.html%00.js",
      "/%",
      "/%ff",
    ],
    `/${"a".repeat(5_000)}`,
    `/${"a/".repeat(2_000)}`,
  ];
  for (const path of paths) expect((await get(path)).status, path).toBe(404);
  const raw = connect(port, "127.0.0.1");
  raw.write("GET /../secret.txt HTTP/1.0\r\n\r\n");
  expect(await text(raw)).toMatch(/^HTTP\/1\.1 404 /);
});

test("a build without the page says so", async () => {
  isBuilt = false;
  const { status, body } = await get("/", html);
  expect([status, String(body)]).toEqual([404, expect.stringContaining("this build of thaw has no page")]);
  isBuilt = true;
});
