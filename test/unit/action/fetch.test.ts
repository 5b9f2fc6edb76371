/** What a fetch asks a server for, and what it takes from one: git's own server, and servers that lie. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseReference, resolve } from "../../../action/fetch/reference.ts";
import { RepositoryHttp } from "../../../action/fetch/repository-http.ts";
import { UploadPack } from "../../../action/fetch/upload-pack.ts";
import { GitServer, type Handler } from "../../helpers/git-server.ts";

const TOKEN = "ghs_ofTheUnitTest0123456789";
const signal = AbortSignal.timeout(60_000);
let server: GitServer;
const commits: Record<string, string> = {};

beforeAll(async () => {
  server = await GitServer.start();
  const folder = server.folderOf("acme/shop");
  for (const name of ["first", "second", "third"]) {
    writeFileSync(join(folder, "a.txt"), `${name}\n`);
    server.git("acme/shop", "add", ".");
    server.git("acme/shop", "commit", "-qm", name);
    commits[name] = server.git("acme/shop", "rev-parse", "HEAD");
  }
  server.git("acme/shop", "tag", "-a", "-m", "a tag", "v1", commits.first ?? "");
  server.git("acme/shop", "tag", "light", commits.second ?? "");
  server.git("acme/shop", "branch", "both", commits.first ?? "");
  server.git("acme/shop", "tag", "both", commits.second ?? "");
  server.git("acme/shop", "branch", "topic/a", commits.second ?? "");
  server.git("acme/shop", "update-ref", "refs/pull/7/head", commits.second ?? "");
  server.folderOf("acme/empty");
  server.folderOf("acme/private");
  server.tokens["acme/private"] = TOKEN;
  server.tokens["acme/shut"] = "another";
});
afterAll(() => server[Symbol.asyncDispose]());

async function find(repository: string, ref: string, token?: string) {
  await using http = new RepositoryHttp({ server: server.url, repository, token });
  return await resolve(parseReference(ref), await UploadPack.open(http, signal), http.name);
}

/** Fetches as a step does, and lets git read the pack. @returns the objects that it has, by kind */
async function fetchPack(repository: string, commit: string, maxBytes = 1 << 20): Promise<string[]> {
  await using http = new RepositoryHttp({ server: server.url, repository, token: undefined });
  const from = await UploadPack.open(http, signal);
  const { shallow, data } = await from.fetch(commit, { maxBytes });
  expect(shallow).toEqual([commit]);
  const chunks: Uint8Array[] = [];
  for await (const chunk of data) chunks.push(chunk);
  const folder = mkdtempSync(join(tmpdir(), "thaw-pack-"));
  try {
    const git = (args: string[], input?: Buffer): string =>
      execFileSync("git", args, { cwd: folder, encoding: "utf8", ...(input === undefined ? {} : { input }) });
    git(["init", "-q", `--object-format=${from.format}`]);
    git(["index-pack", "--stdin"], Buffer.concat(chunks));
    return git(["cat-file", "--batch-all-objects", "--batch-check=%(objecttype)"]).trim().split("\n").sort();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe("git's own server", () => {
  test.each([
    ["HEAD", "third", "refs/heads/main"],
    ["main", "third", "refs/heads/main"],
    ["refs/heads/topic/a", "second", "refs/heads/topic/a"],
    ["topic/a", "second", "refs/heads/topic/a"],
    ["v1", "first", "refs/tags/v1"],
    ["light", "second", "refs/tags/light"],
    ["both", "first", "refs/heads/both"],
    ["refs/tags/both", "second", "refs/tags/both"],
    ["refs/pull/7/head", "second", "refs/pull/7/head"],
  ])("%s is a commit", async (ref, commit, name) => {
    expect(await find("acme/shop", ref)).toEqual({ commit: commits[commit], name });
  });

  test("one commit comes, without its history, also one that no reference names any more", async () => {
    for (const commit of [commits.first, commits.third])
      expect(await fetchPack("acme/shop", commit ?? "")).toEqual(["blob", "commit", "tree"]);
    server.git("acme/shop", "checkout", "-q", "--detach");
    server.git("acme/shop", "commit", "-q", "--amend", "-m", "lost");
    const lost = server.git("acme/shop", "rev-parse", "HEAD");
    server.git("acme/shop", "checkout", "-q", "main");
    expect(await fetchPack("acme/shop", lost)).toEqual(["blob", "commit", "tree"]);
  });

  test("a repository of sha256", async () => {
    const folder = server.folderOf("acme/sha256");
    rmSync(join(folder, ".git"), { recursive: true });
    server.git("acme/sha256", "init", "-q", "--object-format=sha256", "-b", "main");
    server.git("acme/sha256", "commit", "-qm", "empty", "--allow-empty");
    const { commit } = await find("acme/sha256", "main");
    expect(commit).toHaveLength(64);
    expect(await fetchPack("acme/sha256", commit)).toEqual(["commit", "tree"]);
  });

  test("a token opens what is not for everybody, and is sent as HTTP's credentials only", async () => {
    await expect(find("acme/private", "HEAD", TOKEN)).rejects.toMatchObject({ code: "not-found" });
    expect(server.asked.at(-1)).toMatchObject({ authorization: expect.stringMatching(/^Basic /) });
    expect(JSON.stringify(server.asked.map(({ path }) => path))).not.toContain(TOKEN);
  });

  test.each([
    ["acme/shop", "nothing", undefined, "not-found", /has no nothing$/, /a branch, a tag/],
    ["acme/shop", "refs/pull/7/merge", undefined, "not-found", /has no refs\/pull\/7\/merge$/, /conflicts/],
    ["acme/shop", "abcdef1", undefined, "not-found", /has no abcdef1$/, /full commit id/],
    ["acme/empty", "HEAD", undefined, "not-found", /has no HEAD$/, /empty/],
    ["acme/none", "main", undefined, "not-found", /is private \(status 404\)/, /needs `token`/],
    ["acme/shut", "main", undefined, "not-found", /is private \(status 401\)/, /needs `token`/],
    [
      "acme/shut",
      "main",
      TOKEN,
      "store-denied",
      /the token has no access to it \(status 401\)/,
      /contents: read/,
    ],
  ])("%s %s with %s: %s", async (repository, ref, token, code, message, hint) => {
    const error = { code, message: expect.stringMatching(message), hint: expect.stringMatching(hint) };
    await expect(find(repository, ref, token)).rejects.toMatchObject(error);
  });

  test("a commit that it does not have, and a pack that is too big", async () => {
    await expect(fetchPack("acme/shop", "0123456789".repeat(4))).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("not our ref"),
    });
    await expect(fetchPack("acme/shop", commits.third ?? "", 100)).rejects.toThrow(
      /sends more than 100 bytes/,
    );
  });
});

const line = (text: string): string => (text.length + 4).toString(16).padStart(4, "0") + text;
const CAPABILITIES = ["version 2\n", "ls-refs=unborn\n", "fetch=shallow\n"].map(line).join("");

/** Can everything, and answers what is asked with `body`. */
function answering(body: string | Buffer, headers: Record<string, string> = {}): Handler {
  return ({ method }, response) => {
    const what = method === "GET" ? "advertisement" : "result";
    response.setHeader("content-type", `application/x-git-upload-pack-${what}`);
    if (method === "POST")
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.end(method === "GET" ? `${CAPABILITIES}0000` : body);
  };
}

describe("a server that lies", () => {
  const id = "ab".repeat(20);

  test.each<[string, Handler, RegExp]>([
    ["another page", (_, response) => void response.end("<html>"), /an invalid git response/],
    ["protocol 0", type("advertisement", line("# service=git-upload-pack\n")), /does not support version 2/],
    ["no length", type("advertisement", "zzzz"), /a line with an invalid length/],
    ["an endless line", type("advertisement", "ffff"), /a line with an invalid length/],
    ["a broken line", type("advertisement", "0010ab"), /in the middle of a line/],
    ["status 500", (_, response) => void response.writeHead(500).end(), /status 500/],
    ["compressed", answering(Buffer.alloc(20), { "content-encoding": "gzip" }), /an invalid git response/],
    ["no object", answering(`${line("x refs/heads/main\n")}0000`), /a reference without an object/],
    ["an id with more in it", answering(`${line(`${id};id refs/heads/main\n`)}0000`), /without an object/],
    [
      "too long",
      answering(Buffer.alloc(9 << 20, line(`${id} refs/heads/main-x\n`))),
      /more than 8388608 bytes/,
    ],
    ["hung up", (message) => void message.socket.destroy(), /can't be reached/],
  ])("%s", async (name, handler, message) => {
    const repository = `liar/${name.replaceAll(" ", "-")}`;
    server.handlers[repository] = handler;
    await expect(find(repository, "main", TOKEN)).rejects.toThrow(message);
  });

  test.each([
    ["another part", `${line("packfile-uris\n")}${line("x\n")}`, /an unexpected section/],
    [
      "a shallow commit that is none",
      `${line("shallow-info\n")}${line("shallow $(id)\n")}`,
      /an unexpected section/,
    ],
    ["no pack", "0000", /no pack/],
    ["half a pack", `${line("packfile\n")}${line("\u0001PACK")}`, /the packfile is incomplete/],
    ["another channel", `${line("packfile\n")}${line("\u0007PACK")}0000`, /an unknown sideband channel/],
    ["last words", `${line("packfile\n")}${line("\u0003out of memory")}0000`, /says: out of memory/],
  ])("%s", async (name, body, message) => {
    server.handlers[`liar/${name.replaceAll(/\W+/g, "-")}`] = answering(body);
    await using http = new RepositoryHttp({
      ...{ server: server.url, repository: `liar/${name.replaceAll(/\W+/g, "-")}`, token: undefined },
    });
    const from = await UploadPack.open(http, signal);
    const read = async (): Promise<void> => {
      for await (const _ of (await from.fetch(id, { maxBytes: 1000 })).data);
    };
    await expect(read()).rejects.toThrow(message);
  });

  test.each<[string, Handler]>([
    ["never answers", () => {}],
    [
      "stops in the middle",
      (_, response) => {
        response.setHeader("content-type", "application/x-git-upload-pack-advertisement");
        response.write("0010ab");
      },
    ],
  ])("one that %s is given up", async (_, handler) => {
    server.handlers["liar/silent"] = handler;
    const place = { server: server.url, repository: "liar/silent", token: undefined, silenceMs: 500 };
    await using http = new RepositoryHttp(place);
    await expect(UploadPack.open(http, signal)).rejects.toThrow(/can't be reached: it went silent/);
  });

  test("an older git is told nothing that it does not know", async () => {
    let asked = "";
    server.handlers["liar/old"] = (message, response) => {
      message.on("data", (chunk) => (asked += chunk));
      answering(`${line(`${id} refs/heads/main\n`)}${line(`${id} refs/heads/main-2\n`)}0000`)(
        message,
        response,
      );
    };
    expect(await find("liar/old", "main")).toEqual({ commit: id, name: "refs/heads/main" });
    expect(asked).toMatch(/^0014command=ls-refs\n0001/);
  });

  test("a token that is sent back is not shown", async () => {
    server.handlers["liar/echo"] = (message, response) =>
      answering(line(`ERR you said ${message.headers.authorization} and ${TOKEN}`))(message, response);
    await expect(find("liar/echo", "main", TOKEN)).rejects.toMatchObject({
      message: expect.stringMatching(/says: you said Basic \*\*\* and \*\*\*$/),
    });
  });

  test.each([301, 302, 307, 308])("no redirect is followed: %d", async (status) => {
    let asked = 0;
    const other = createServer((_, response) => {
      asked += 1;
      response.end();
    });
    await new Promise<void>((ready) => other.listen(0, "127.0.0.1", ready));
    const { port } = other.address() as { port: number };
    try {
      const location = `http://127.0.0.1:${port}/acme/shop.git/info/refs?t=${TOKEN}`;
      server.handlers["liar/moved"] = (_, response) => void response.writeHead(status, { location }).end();
      await expect(find("liar/moved", "main", TOKEN)).rejects.toMatchObject({
        message: expect.stringMatching(/redirects \(30\d, http.*t=\*\*\*\), and redirects are not followed/),
        hint: expect.stringContaining("new name"),
      });
      expect(asked).toBe(0);
    } finally {
      other.close();
    }
  });
});

function type(what: string, body: string): Handler {
  return (_, response) => {
    response.setHeader("content-type", `application/x-git-upload-pack-${what}`);
    response.end(body);
  };
}
