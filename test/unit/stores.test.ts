import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { packManifest, unpackManifest } from "../../client/stores/artifact.ts";
import { findCredentials } from "../../client/stores/credentials.ts";
import { findPolicy } from "../../client/stores/policy.ts";
import { isLoopback, isStoreReference, parseStoreReference } from "../../client/stores/reference.ts";
import { readTarHeader, tarHeader } from "../../client/stores/ustar.ts";
import { compressed, expandSparse } from "../../engine/travel/sparse.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "thaw-stores-unit-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("names of stores", () => {
  test("a registry's", () => {
    expect(parseStoreReference("oci:127.0.0.1:5000/failures:fail-7k2qxz")).toEqual({
      ...{ kind: "oci", registry: "127.0.0.1:5000", repository: "failures", tag: "fail-7k2qxz" },
    });
    expect(parseStoreReference(`oci:registry.example/a/b@sha256:${"0".repeat(64)}`)).toMatchObject({
      ...{ repository: "a/b", tag: `sha256:${"0".repeat(64)}` },
    });
    for (const wrong of [
      "oci:host",
      "oci:host/UPPER",
      "oci:host/a:",
      "oci:ho st/a",
      "oci:host/../a",
      "oci:host/a@sha256:1",
    ])
      expect(() => parseStoreReference(wrong), wrong).toThrow(/is not oci:/);
  });

  test("a path's; tags of snapshots are none", () => {
    expect(parseStoreReference("dir:/a/b:v1")).toEqual({ kind: "path", path: "/a/b", tag: "v1" });
    expect(parseStoreReference("/a/b")).toEqual({ kind: "path", path: "/a/b", tag: undefined });
    for (const word of ["oci:h/r", "dir:x", "./x", "../x", "/x"])
      expect(isStoreReference(word), word).toBe(true);
    for (const word of ["node:24", "oci:24", "latest", "fail-7k2qxz"])
      expect(isStoreReference(word), word).toBe(false);
    expect(["localhost", "127.0.0.1:5000", "[::1]:5000"].every(isLoopback)).toBe(true);
    expect(["127.0.0.1.example", "localhost.example:80"].some(isLoopback)).toBe(false);
  });
});

describe("credentials", () => {
  const auth = (text: string): string => Buffer.from(text).toString("base64");
  const find = (registry: string, repository: string, env: Record<string, string> = {}) =>
    findCredentials(registry, repository, {
      HOME: folder,
      REGISTRY_AUTH_FILE: join(folder, "auth.json"),
      ...env,
    });

  test("the entry that names the most of it; docker's of old", async () => {
    const auths = {
      "h:1": { auth: auth("a:1") },
      "h:1/team": { auth: auth("b:2:3") },
      "https://old/v1/": { auth: auth("c:4") },
    };
    await writeFile(join(folder, "auth.json"), JSON.stringify({ auths }));
    expect(await find("h:1", "x")).toMatchObject({ username: "a", password: "1" });
    expect(await find("h:1", "team/x")).toMatchObject({ username: "b", password: "2:3" });
    expect(await find("old", "x")).toMatchObject({ username: "c" });
    expect(await find("other", "x")).toBeNull();
    expect(await find("other", "x", { REGISTRY_AUTH_FILE: join(folder, "none") })).toBeNull();
  });

  test("a helper is asked", async () => {
    const helper = join(folder, "docker-credential-test");
    await writeFile(
      helper,
      '#!/bin/sh\nread -r host\necho "{\\"Username\\":\\"$host\\",\\"Secret\\":\\"s\\"}"\n',
    );
    await chmod(helper, 0o755);
    await writeFile(join(folder, "auth.json"), JSON.stringify({ credHelpers: { "h:1": "test" } }));
    const before = process.env.PATH;
    process.env.PATH = `${folder}${delimiter}${before}`;
    try {
      expect(await find("h:1", "x")).toMatchObject({ username: "h:1", password: "s" });
    } finally {
      process.env.PATH = before;
    }
  });

  test("what can't be read is said", async () => {
    await writeFile(join(folder, "auth.json"), "{");
    await expect(find("h", "x")).rejects.toMatchObject({ code: "store-denied" });
  });
});

test("the policy of the first entry that fits; one that is not understood is not passed over", async () => {
  const env = { XDG_CONFIG_HOME: folder };
  expect(await findPolicy("oci:h/a", env)).toEqual({ encryptTo: [], plainHttp: false });
  const { mkdir } = await import("node:fs/promises");
  await mkdir(join(folder, "thaw"));
  const path = join(folder, "thaw", "stores.yaml");
  await writeFile(
    path,
    "stores:\n  - {store: 'oci:h/a', encryptTo: [age1x]}\n  - {store: 'oci:h', plainHttp: true}\n",
  );
  expect(await findPolicy("oci:h/a/b", env)).toEqual({ encryptTo: ["age1x"], plainHttp: false });
  expect(await findPolicy("oci:h/ab", env)).toEqual({ encryptTo: [], plainHttp: true });
  await writeFile(path, "stores:\n  - {store: 'oci:h', encryptto: [age1x]}\n");
  await expect(findPolicy("oci:h/a", env)).rejects.toMatchObject({ code: "usage" });
});

describe("artifacts", () => {
  const digest = `sha256:${"a".repeat(64)}`;
  const layer = (name: string) => ({ name, mediaType: "application/vnd.thaw.x.v1+json", digest, size: 1 });
  const packed = (names: string[]) =>
    packManifest({
      kind: "snapshot",
      createdAt: "2026-01-01T00:00:00Z",
      outline: Buffer.from("{}"),
      layers: names.map(layer),
    }).bytes;

  test("what was packed is read", () => {
    const read = unpackManifest(packed(["manifest.json", "memory.zst", "layer-1.qcow2.zst"]), "here");
    expect(read.layers.map(({ name }) => name)).toEqual(["memory.zst", "layer-1.qcow2.zst"]);
    expect([read.kind, read.encrypted, read.base]).toEqual(["snapshot", false, undefined]);
  });

  test("names, numbers and shapes of others are refused", () => {
    const wrong: Buffer[] = [
      ...[Buffer.from("x"), Buffer.from("null"), Buffer.from("{}"), packed(["memory.zst"])],
      ...[packed(["manifest.json", "../x"]), packed(["manifest.json", "memory.zst", "memory.zst"])],
      Buffer.from(packed(["manifest.json"]).toString().replace('"size":1', '"size":-1')),
      Buffer.from(packed(["manifest.json"]).toString().replaceAll("a".repeat(64), "../../x")),
    ];
    for (const bytes of wrong)
      expect(() => unpackManifest(bytes, "here"), bytes.toString().slice(0, 60)).toThrow(/what is at here/);
  });
});

test("headers of archives, also of parts past 8 GiB", () => {
  for (const size of [0, 1, 511, 0o77777777777, 2 ** 40])
    expect(readTarHeader(tarHeader("blobs/x", size))).toEqual({ name: "blobs/x", size, type: "0" });
  expect(readTarHeader(Buffer.alloc(512))).toEqual({ end: true });
  const spoilt = tarHeader("x", 1);
  spoilt[0] = 0x79;
  expect(readTarHeader(spoilt)).toMatchObject({ fault: expect.stringContaining("checksum") });
});

describe("parts on their way", () => {
  const options = { room: async () => {}, signal: new AbortController().signal };
  async function pack(): Promise<{ raw: Buffer; path: string }> {
    const raw = Buffer.alloc(9 << 20);
    randomBytes(5000).copy(raw, 100);
    randomBytes(5000).copy(raw, (5 << 20) + 4095);
    await writeFile(join(folder, "raw"), raw);
    const chunks: Buffer[] = [];
    for await (const chunk of compressed(join(folder, "raw"), () => {})) chunks.push(chunk);
    await writeFile(join(folder, "raw.zst"), Buffer.concat(chunks));
    return { raw, path: join(folder, "raw.zst") };
  }

  test("come back as they were, with holes", async () => {
    const { raw, path } = await pack();
    const to = join(folder, "opened");
    const { sha256 } = await expandSparse(path, to, { ...options, limitBytes: raw.length });
    expect(sha256).toBe(createHash("sha256").update(raw).digest("hex"));
    expect((await readFile(to)).equals(raw)).toBe(true);
    expect((await stat(to)).blocks * 512).toBeLessThan(1 << 20);
  });

  test("are the same bytes each time; more or less than they say is refused and leaves nothing", async () => {
    const { raw, path } = await pack();
    const again: Buffer[] = [];
    for await (const chunk of compressed(join(folder, "raw"), () => {})) again.push(chunk);
    expect(Buffer.concat(again).equals(await readFile(path))).toBe(true);
    for (const limitBytes of [raw.length - 1, raw.length + 1]) {
      await expect(expandSparse(path, join(folder, "opened"), { ...options, limitBytes })).rejects.toThrow(
        /opens to/,
      );
      await expect(open(join(folder, "opened"))).rejects.toMatchObject({ code: "ENOENT" });
    }
  });
});
