import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { packManifest, unpackManifest } from "../../client/stores/artifact.ts";
import { findPolicy } from "../../client/stores/policy.ts";
import { isStoreReference, parseStoreReference } from "../../client/stores/reference.ts";
import { parseChallenges } from "../../client/stores/registry/challenge.ts";
import { authFiles, findCredentials } from "../../client/stores/registry/credentials.ts";
import { login, logout } from "../../client/stores/registry/login.ts";
import { isLoopback, parseRegistryHost } from "../../client/stores/registry/name.ts";
import { parseRetryAfter } from "../../client/stores/registry/retry.ts";
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
      ...{ kind: "oci", registry: "127.0.0.1:5000", host: "127.0.0.1:5000" },
      ...{ repository: "failures", tag: "fail-7k2qxz" },
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

  test("one registry has one name, however it is written; Docker Hub is elsewhere than its name says", () => {
    const parse = (word: string) => parseStoreReference(`oci:${word}`);
    expect(parse("GHCR.io/acme/x")).toMatchObject({ registry: "ghcr.io", host: "ghcr.io" });
    expect(parse("ghcr.io:443/acme/x")).toMatchObject({ registry: "ghcr.io", host: "ghcr.io:443" });
    expect(parse("[::1]:5000/x")).toMatchObject({ registry: "[::1]:5000" });
    for (const hub of ["docker.io", "index.docker.io", "registry-1.docker.io", "DOCKER.io:443"])
      expect(parse(`${hub}/acme/x`), hub).toMatchObject({
        registry: "docker.io",
        host: "registry-1.docker.io",
      });
    expect(parse("docker.io/x")).toMatchObject({ repository: "library/x" });
    const digest = `sha256:${"a".repeat(64)}`;
    expect(parse(`h/a:v1@${digest}`)).toMatchObject({ repository: "a", tag: digest });
  });

  test.for([
    ["ghcr.io/Acme/x", /lower-case letters only/],
    ["ghcr.io:99999/x", /99999 is not a port/],
    ["ghcr.io:0/x", /0 is not a port/],
    ["ghcr.io:/x", /an empty port is not a port/],
    ["https://ghcr.io/x", /without https:\/\//],
    ["//ghcr.io/x", /without https:\/\//],
    ["ghcr.io", /names no repository/],
    ["ghcr.io/", /names no repository/],
    ["h/a:v1@sha256:1", /not a digest/],
    ["h/a:-", /"-" is not a tag/],
    ["h/a__-b", /not a name of a repository/],
  ] as const)("oci:%s is refused in one sentence", ([word, why]) => {
    expect(() => parseStoreReference(`oci:${word}`)).toThrow(why);
    expect(() => parseStoreReference(`oci:${word}`)).toThrow(`oci:${word} is not oci:HOST`);
  });

  test.for([
    ["ftp://ghcr.io", /write it without ftp:\/\/$/],
    ["ghcr.io/acme", /"ghcr.io\/acme" is not a host name$/],
    ["bad host", /"bad host" is not a host name$/],
    ["ghcr.io:x", /x is not a port/],
  ] as const)("a login to %s is refused in one sentence", ([word, why]) => {
    expect(() => parseRegistryHost(word)).toThrow(why);
    expect(() => parseRegistryHost(word)).toThrow(`${word} is not HOST[:PORT] of a registry: `);
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

  test("Docker Hub's; another writing of the host; a path of podman's", async () => {
    const auths = {
      "https://index.docker.io/v1/": { auth: auth("hub:1") },
      "GHCR.io": { auth: auth("gh:2\0") },
      "quay.io:443": { username: "plain", password: "3" },
      "acr.example": { auth: auth("0000:"), identitytoken: "t" },
    };
    await writeFile(join(folder, "auth.json"), JSON.stringify({ auths }));
    expect(await find("docker.io", "acme/x")).toMatchObject({ username: "hub" });
    expect(await find("ghcr.io", "x")).toMatchObject({ username: "gh", password: "2" });
    expect(await find("quay.io", "x")).toMatchObject({ username: "plain", password: "3" });
    expect(await find("acr.example", "x")).toMatchObject({ identityToken: "t" });
    const places = authFiles({ HOME: "/h", XDG_RUNTIME_DIR: "/run/user/7" });
    expect(places).toEqual([
      ...["/h/.docker/config.json", "/run/user/7/containers/auth.json"],
      ...[`/run/containers/${process.getuid?.()}/auth.json`, "/h/.config/containers/auth.json"],
    ]);
    const { mkdir } = await import("node:fs/promises");
    await mkdir(join(folder, ".config", "containers"), { recursive: true });
    const podman = { auths: { "h:1": { auth: auth("podman:4") } } };
    await writeFile(join(folder, ".config", "containers", "auth.json"), JSON.stringify(podman));
    expect(await findCredentials("h:1", "x", { HOME: folder })).toMatchObject({ username: "podman" });
  });

  test("a store of all credentials is asked also where no entry names the registry; never a program of the current folder", async () => {
    const program =
      '#!/bin/sh\nread -r host\n[ "$host" = known.example ] || { echo "credentials not found in native keychain"; exit 1; }\necho "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"refresh\\"}"\n';
    const bin = join(folder, "bin");
    const { mkdir } = await import("node:fs/promises");
    await mkdir(bin);
    await writeFile(join(bin, "docker-credential-all"), program, { mode: 0o755 });
    await writeFile(join(folder, "auth.json"), JSON.stringify({ credsStore: "all" }));
    const env = { PATH: `${bin}${delimiter}${process.env.PATH}` };
    expect(await find("known.example", "x", env)).toMatchObject({ identityToken: "refresh" });
    expect(await find("other.example", "x", env)).toBeNull();
    // Where the program is not there, it is missed only by what it is said to know.
    expect(await find("known.example", "x")).toBeNull();
    const before = process.cwd();
    process.chdir(bin);
    try {
      expect(await find("known.example", "x", { PATH: `.${delimiter}${delimiter}/bin` })).toBeNull();
    } finally {
      process.chdir(before);
    }
    await writeFile(join(folder, "auth.json"), JSON.stringify({ credHelpers: { "known.example": "all" } }));
    await expect(find("known.example", "x")).rejects.toThrow(/docker-credential-all is not installed/);
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

  test("a login and a logout leave what others keep; a helper that is named for the registry has the password", async () => {
    const path = join(folder, "config", "config.json");
    const env = {
      HOME: folder,
      DOCKER_CONFIG: join(folder, "config"),
      PATH: folder,
      XDG_RUNTIME_DIR: folder,
    };
    const read = async () => JSON.parse(await readFile(path, "utf8"));
    const server = createServer((asked, answer) => {
      const right = `Basic ${Buffer.from("ann:right").toString("base64")}`;
      const status = asked.headers.authorization === right ? 200 : 401;
      answer.writeHead(status, { "www-authenticate": 'Basic realm="test"' }).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const registry = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { signal } = new AbortController();
    const as = (password: string) => login(registry, { username: "ann", password, env, signal });
    try {
      await expect(as("wrong")).rejects.toMatchObject({ code: "store-denied" });
      await expect(read()).rejects.toMatchObject({ code: "ENOENT" });
      expect(await as("right")).toEqual({ registry, kept: path });
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      expect(await findCredentials(registry, "x", env)).toMatchObject({ username: "ann", password: "right" });

      const others = { auths: { "ghcr.io": { auth: "b3RoZXI6cw==" } }, currentContext: "far" };
      const kept = await read();
      await writeFile(path, JSON.stringify({ ...others, auths: { ...others.auths, ...kept.auths } }));
      await as("right");
      expect(await read()).toEqual({ ...others, auths: { ...others.auths, ...kept.auths } });
      expect(await logout(registry, env)).toEqual({ registry, forgotten: [path] });
      expect(await read()).toEqual(others);
      expect(await logout(registry, env)).toEqual({ registry, forgotten: [] });

      const secrets = join(folder, "secrets");
      const helper = `#!/bin/sh
case "$1" in
store) /bin/cat > ${secrets};;
get) [ -e ${secrets} ] && exec /bin/cat ${secrets}; echo "credentials not found"; exit 1;;
erase) /bin/rm ${secrets};;
esac
`;
      await writeFile(join(folder, "docker-credential-kept"), helper, { mode: 0o755 });
      await writeFile(path, JSON.stringify({ ...others, credHelpers: { [registry]: "kept" } }));
      expect(await as("right")).toEqual({ registry, kept: "docker-credential-kept" });
      expect(JSON.parse(await readFile(secrets, "utf8"))).toEqual({
        ...{ ServerURL: registry, Username: "ann", Secret: "right" },
      });
      expect((await read()).auths).toEqual(others.auths);
      expect(await findCredentials(registry, "x", env)).toMatchObject({ username: "ann", password: "right" });
      expect(await logout(registry, env)).toEqual({ registry, forgotten: ["docker-credential-kept"] });
      expect(await findCredentials(registry, "x", env)).toBeNull();
    } finally {
      server.close();
    }
    for (const word of ["", "https://", "a b", "host:0", "host/path"])
      await expect(logout(word, env), word).rejects.toMatchObject({ code: "usage" });
  });

  test("what can't be read is said", async () => {
    await writeFile(join(folder, "auth.json"), "{");
    await expect(find("h", "x")).rejects.toMatchObject({ code: "store-denied" });
  });
});

test("the policy of the first entry that fits; one that is not understood is not passed over", async () => {
  const env = { XDG_CONFIG_HOME: folder };
  expect(await findPolicy("oci:h/a", env)).toEqual({ encryptTo: [], plainHttp: false, isNamed: false });
  const { mkdir } = await import("node:fs/promises");
  await mkdir(join(folder, "thaw"));
  const path = join(folder, "thaw", "stores.yaml");
  await writeFile(
    path,
    "stores:\n  - {store: 'oci:h/a', encryptTo: [age1x]}\n  - {store: 'oci:h', plainHttp: true}\n",
  );
  expect(await findPolicy("oci:h/a/b", env)).toEqual({
    encryptTo: ["age1x"],
    plainHttp: false,
    isNamed: true,
  });
  expect(await findPolicy("oci:h/ab", env)).toEqual({ encryptTo: [], plainHttp: true, isNamed: true });
  await writeFile(path, "stores:\n  - {store: 'oci:h', encryptto: [age1x]}\n");
  await expect(findPolicy("oci:h/a", env)).rejects.toMatchObject({ code: "usage" });
});

test("challenges, quoted or not, one or several", () => {
  const [bearer, basic] = parseChallenges(
    'Bearer realm="https://a.example/t?x=\\"1\\",y",service=reg , scope="repository:a:pull,push", Basic realm=b',
  );
  expect(bearer).toEqual({
    scheme: "bearer",
    parameters: { realm: 'https://a.example/t?x="1",y', service: "reg", scope: "repository:a:pull,push" },
  });
  expect(basic).toEqual({ scheme: "basic", parameters: { realm: "b" } });
  expect(parseChallenges(["Negotiate", "NTLM abc==", "Basic"]).map(({ scheme }) => scheme)).toEqual([
    ...["negotiate", "ntlm", "basic"],
  ]);
  for (const odd of [undefined, "", ",,", '"', "realm=x", 'Bearer realm="open'])
    expect(parseChallenges(odd).every(({ parameters }) => parameters.realm === undefined)).toBe(true);
});

test("Retry-After in seconds or as a date", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  expect(parseRetryAfter("7", now)).toBe(7000);
  expect(parseRetryAfter("Thu, 01 Jan 2026 00:00:30 GMT", now)).toBe(30_000);
  expect(parseRetryAfter("Thu, 01 Jan 2015 00:00:30 GMT", now)).toBe(0);
  expect(["", "soon", undefined].map((value) => parseRetryAfter(value, now))).toEqual([
    ...[undefined, undefined, undefined],
  ]);
});

describe("artifacts", () => {
  const digest = `sha256:${"a".repeat(64)}`;
  const mediaType = "application/vnd.thaw.x.v1+json";
  const layer = (name: string, count = 1) => ({
    ...{ name, mediaType, size: count },
    pieces: Array.from({ length: count }, () => ({ mediaType, digest, size: 1 })),
  });
  const packed = (names: string[]) =>
    packManifest({
      kind: "snapshot",
      createdAt: "2026-01-01T00:00:00Z",
      outline: Buffer.from("{}"),
      layers: names.map((name) => layer(name)),
      content: digest,
    }).bytes;

  test("what was packed is read", () => {
    const read = unpackManifest(packed(["manifest.json", "memory.zst", "layer-1.qcow2.zst"]), "here");
    expect(read.layers.map(({ name }) => name)).toEqual(["memory.zst", "layer-1.qcow2.zst"]);
    expect([read.kind, read.encrypted, read.base]).toEqual(["snapshot", false, undefined]);
  });

  test("a part in pieces is one layer; pieces that are not all there, or not in a row, are refused", () => {
    const of = {
      kind: "snapshot",
      createdAt: "2026-01-01T00:00:00Z",
      outline: Buffer.from("{}"),
      content: digest,
    } as const;
    const text = packManifest({
      ...of,
      layers: [layer("manifest.json"), layer("memory.zst", 3)],
    }).bytes.toString();
    expect(unpackManifest(Buffer.from(text), "here").layers).toMatchObject([{ name: "memory.zst", size: 3 }]);
    for (const wrong of ["3/4", "1/3", "4/3", "2/3", "9999/9999", "0/3"])
      expect(() => unpackManifest(Buffer.from(text.replace('"3/3"', `"${wrong}"`)), "here"), wrong).toThrow(
        /what is at here/,
      );
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
        /decompresses to/,
      );
      await expect(open(join(folder, "opened"))).rejects.toMatchObject({ code: "ENOENT" });
    }
  });
});
