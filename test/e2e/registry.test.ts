/** Real registries on loopback, with a proxy before them that behaves like others. No machines. */
import { createHash, randomBytes, randomFillSync } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Artifact } from "../../api/schema.ts";
import { ArchiveReader, ArchiveWriter } from "../../client/stores/archive.ts";
import { MANIFEST_TYPE } from "../../client/stores/artifact.ts";
import { openStore } from "../../client/stores/open.ts";
import { find } from "../../client/stores/pull.ts";
import { pushArtifacts, type Sending } from "../../client/stores/push.ts";
import { OciStore } from "../../client/stores/registry/store.ts";
import { digestOf, once, type Store } from "../../client/stores/store.ts";
import { type Registry, registryPrograms, startRegistry } from "../helpers/registry.ts";
import { behavingProxy, cuttingRelay, type Decide, type Verdict } from "../helpers/registry-proxy.ts";

const mib = 1 << 20;
const signal = new AbortController().signal;
let folder: string;
let registry: Registry;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "thaw-registry-"));
  registry = await startRegistry(join(folder, "registry"));
  vi.stubEnv("REGISTRY_AUTH_FILE", join(folder, "auth.json"));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await registry.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Whoever asks for credentials of `host` gets the registry's own. */
async function login(host: string, entry: object = { auth: registry.auth }): Promise<void> {
  await writeFile(join(folder, "auth.json"), JSON.stringify({ auths: { [host]: entry } }));
}

function storeAt(host: string, repository = "failures"): OciStore {
  return new OciStore({ registry: host, host, repository, plainHttp: false });
}

interface Sample {
  artifact: Artifact;
  readPart: (artifact: Artifact, name: string, from: number) => AsyncIterable<Uint8Array>;
}

/** A snapshot whose memory is `bytes` of noise. */
function sample(bytes: number, id = randomBytes(8).toString("hex")): Sample {
  const memory = randomFillSync(Buffer.alloc(bytes));
  const createdAt = "2026-01-01T00:00:00Z";
  const parts = [
    {
      name: "memory.zst",
      sizeBytes: bytes,
      rawBytes: bytes,
      sha256: createHash("sha256").update(memory).digest("hex"),
    },
  ];
  const artifact = { kind: "snapshot", id, manifest: "{}", outline: { createdAt }, parts, base: null };
  return {
    artifact: artifact as unknown as Artifact,
    readPart: (_, __, from) =>
      (async function* () {
        for (let at = from; at < bytes; at += mib) yield memory.subarray(at, at + mib);
      })(),
  };
}

async function pushSample(store: Store, { artifact, readPart }: Sample) {
  const begun: Sending[] = [];
  const pushed = await pushArtifacts(
    store,
    { artifact, base: null, readPart },
    { signal, onBegin: (sending) => begun.push(...sending) },
  );
  return { ...pushed, begun };
}

/** Everything of it can be read back, and is what it was. */
async function expectWhole(store: Store, { artifact }: Sample, tag = artifact.id): Promise<void> {
  const packed = await find(store, "snapshot", tag, signal);
  const hash = createHash("sha256");
  for (const piece of packed.layers[0]?.pieces ?? [])
    for await (const chunk of store.readBlob(piece, 0, signal)) hash.update(chunk);
  expect(hash.digest("hex")).toBe(artifact.parts[0]?.sha256);
}

async function tagsOf(store: Store): Promise<string[]> {
  const tags: string[] = [];
  for await (const tag of store.tags("application/vnd.thaw.snapshot.v1", signal)) tags.push(tag);
  return tags;
}

/** Pushes through a proxy that decides, to a repository of its own. */
async function pushThrough(
  bytes: number,
  decide: Decide,
  check: (seen: { requests: string[]; headers: Record<string, unknown>[]; host: string }) => void = () => {},
): Promise<void> {
  await using proxy = await behavingProxy(registry.host, `Basic ${registry.auth}`, decide);
  await login(proxy.host);
  await using store = storeAt(proxy.host, `r${randomBytes(4).toString("hex")}`);
  const one = sample(bytes);
  await pushSample(store, one);
  check(proxy);
  await expectWhole(store, one);
}

describe("a push", () => {
  test("arrives through cut connections; no more than one piece is sent again for each", async () => {
    const size = 100_000_000;
    await using relay = await cuttingRelay(registry.host, [100_000, 9_000_000, 60_000_000]);
    await login(relay.host);
    await using store = storeAt(relay.host, "cut");
    const one = sample(size);
    const { sentBytes, begun } = await pushSample(store, one);
    expect(relay.cuts).toBe(3);
    expect(sentBytes).toBe(size);
    expect(begun).toEqual([{ kind: "snapshot", id: one.artifact.id, sendBytes: size, presentBytes: 0 }]);
    expect(relay.sent).toBeLessThan(size + 3 * store.pieceBytes + mib);
    await expectWhole(store, one);
    const again = await pushSample(store, one);
    expect([again.sentBytes, again.presentBytes]).toEqual([0, size]);
  });

  test("goes on where another left off: pieces that are there are not sent", async () => {
    await login(registry.host);
    await using store = storeAt(registry.host, "rest");
    const one = sample(40 * mib);
    const stop = new AbortController();
    const onBytes = (bytes: number): void => void (bytes === store.pieceBytes && stop.abort());
    const half = pushArtifacts(store, { ...one, base: null }, { signal: stop.signal, onBytes });
    await expect(half).rejects.toThrow();
    const { begun, sentBytes } = await pushSample(store, one);
    expect(begun[0]).toMatchObject({ sendBytes: 24 * mib, presentBytes: 16 * mib });
    expect(sentBytes).toBe(24 * mib);
    await expectWhole(store, one);
  });

  test("whose last answer is lost has arrived", async () => {
    let lost = 0;
    await pushThrough(
      20 * mib,
      ({ method, path }): Verdict => ({
        loseAnswer: method === "PUT" && path.includes("/uploads/") && lost++ < 2,
      }),
      ({ requests }) => {
        // Nothing is sent again: every upload was begun once (two pieces, manifest, outline).
        expect(requests.filter((line) => line.startsWith("POST"))).toHaveLength(4);
      },
    );
    expect(lost).toBeGreaterThan(2);
  });

  test("to a registry that takes PATCH bodies of 4 MiB at most, and says Range: 0-0 of a fresh upload", async () => {
    await pushThrough(20 * mib, ({ method, length }) => {
      if (method === "PATCH" && length > 4 * mib) return { answer: { status: 416 } };
      return { headers: (headers) => void (method === "POST" && Object.assign(headers, { range: "0-0" })) };
    });
  });

  test.for([
    ["4 MiB", 4 * mib, 413],
    ["1 MiB", mib, 413],
    ["4 MiB, told by 400", 4 * mib, 400],
  ] as const)("through a proxy that takes no body of more than %s", async ([, limit, status]) => {
    await pushThrough(
      18 * mib,
      ({ length }) => (length > limit ? { answer: { status } } : undefined),
      ({ requests }) => expect(requests.some((line) => line.startsWith("PATCH"))).toBe(true),
    );
  });

  test("in chunks that are as long as the registry asks for", async () => {
    await pushThrough(
      16 * mib,
      ({ method, length }) => {
        if (method === "PUT" && length > 8 * mib) return { answer: { status: 413 } };
        const minimum = { "oci-chunk-min-length": String(8 * mib) };
        return { headers: (headers) => void (method === "POST" && Object.assign(headers, minimum)) };
      },
      ({ requests }) => expect(requests.filter((line) => line.startsWith("PATCH"))).toHaveLength(2),
    );
  });

  test("waits as long as Retry-After says; a wait of hours is said", async () => {
    let refused = 0;
    const started = performance.now();
    await pushThrough(mib, ({ method }) =>
      method === "PUT" && refused++ < 1
        ? { answer: { status: 429, headers: { "retry-after": "1" } } }
        : undefined,
    );
    expect(performance.now() - started).toBeGreaterThan(1000);
    const hours = pushThrough(mib, ({ method }) =>
      method === "POST" ? { answer: { status: 429, headers: { "retry-after": "21600" } } } : undefined,
    );
    await expect(hours).rejects.toThrow(/429.*asks to wait for 21600 s/);
  });

  test("to a repository that has to be made first says so", async () => {
    const body = JSON.stringify({ errors: [{ code: "NAME_UNKNOWN", message: "no such repository" }] });
    const pushing = pushThrough(mib, ({ method }) =>
      method === "POST" ? { answer: { status: 404, body } } : undefined,
    );
    await expect(pushing).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("NAME_UNKNOWN"),
    });
  });
});

describe("redirects", () => {
  test("307 and 308 within the registry are followed with the body", async () => {
    const moved = (path: string): string => `${path}${path.includes("?") ? "&" : "?"}moved=1`;
    await pushThrough(20 * mib, ({ method, path }) => {
      if (!["POST", "PUT"].includes(method) || path.includes("moved=1")) return undefined;
      return { answer: { status: method === "POST" ? 307 : 308, headers: { location: moved(path) } } };
    });
  });

  test("to another origin are refused, naming it, and get no password", async () => {
    await using other = await behavingProxy(registry.host, `Basic ${registry.auth}`, () => undefined);
    for (const refused of ["POST", "PUT"]) {
      const pushing = pushThrough(mib, ({ method, path }) =>
        method === refused
          ? { answer: { status: 307, headers: { location: `http://${other.host}${path}` } } }
          : undefined,
      );
      await expect(pushing).rejects.toThrow(`redirects a ${refused} to http://${other.host}`);
    }
    expect(other.requests).toEqual([]);
  });

  test("an upload's Location may be on another host, which gets no password, or relative to the request", async () => {
    await using other = await behavingProxy(registry.host, `Basic ${registry.auth}`, () => undefined);
    await pushThrough(mib, ({ method }) => ({
      headers: (headers) => {
        if (method === "POST") headers.location = `http://${other.host}${headers.location}`;
      },
    }));
    expect(other.requests.map((line) => line.split(" ")[0])).toContain("PUT");
    expect(other.headers.some(({ authorization }) => authorization !== undefined)).toBe(false);
    await pushThrough(mib, ({ method }) => ({
      headers: (headers) => {
        if (method === "POST") headers.location = String(headers.location).replace(/^.*\/uploads\//, "");
      },
    }));
  });
});

describe("who is asked for a password", () => {
  const challenge =
    (header: string, accepted: (header: string) => boolean) =>
    ({ request }: Parameters<Decide>[0]): Verdict | undefined =>
      accepted(request.headers.authorization ?? "")
        ? undefined
        : { answer: { status: 401, headers: { "www-authenticate": header } } };

  test.for([
    'Basic realm="a, b"',
    "basic realm=unquoted",
    'Negotiate abc==, Basic realm="x", charset="UTF-8"',
  ])("%s", async (header) => {
    await pushThrough(
      mib,
      challenge(header, (sent) => sent === `Basic ${registry.auth}`),
    );
  });

  test("tokens that expire in the middle are asked for anew; the service's limits are waited for", async () => {
    let issued = 0;
    let uses = 0;
    let busy = 2;
    let host = "";
    await pushThrough(
      40 * mib,
      ({ path, request }) => {
        host = String(request.headers.host);
        if (path.startsWith("/token")) {
          if (busy-- > 0) return { answer: { status: 429, headers: { "retry-after": "0" } } };
          const ok = request.headers.authorization === `Basic ${registry.auth}`;
          uses = 0;
          return {
            answer: { status: ok ? 200 : 401, body: JSON.stringify({ access_token: `t${++issued}` }) },
          };
        }
        if (request.headers.authorization === `Bearer t${issued}` && uses++ < 4) return undefined;
        const header = `Bearer realm="http://${host}/token",service=registry`;
        return { answer: { status: 401, headers: { "www-authenticate": header } } };
      },
      ({ requests }) => {
        const scopes = requests
          .filter((line) => line.includes("/token"))
          .map((line) => new URL(line.slice(4), "http://x").searchParams.get("scope"));
        expect(scopes.some((scope) => scope?.endsWith(":pull,push"))).toBe(true);
        expect(issued).toBeGreaterThan(3);
      },
    );
  });

  test("an identity token is changed for a token by POST", async () => {
    const bodies: string[] = [];
    await using proxy = await behavingProxy(
      registry.host,
      `Basic ${registry.auth}`,
      ({ method, path, request }) => {
        if (path.startsWith("/token")) {
          request.on("data", (chunk: Buffer) => bodies.push(`${method} ${chunk}`));
          return { answer: { status: 200, body: '{"token":"t"}' } };
        }
        if (request.headers.authorization === "Bearer t") return undefined;
        return {
          answer: { status: 401, headers: { "www-authenticate": 'Bearer realm="/token",service="s"' } },
        };
      },
    );
    await login(proxy.host, { identitytoken: "refresh me" });
    await using store = storeAt(proxy.host);
    await pushSample(store, sample(mib));
    expect(bodies[0]).toMatch(/^POST .*grant_type=refresh_token.*refresh_token=refresh\+me/);
  });
});

describe("tags", () => {
  test("more than a page of them, most of other artifacts", async () => {
    await login(registry.host);
    await using store = storeAt(registry.host, "many");
    const config = Buffer.from("{}");
    const other = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST_TYPE,
        artifactType: "application/vnd.example",
        config: {
          mediaType: "application/vnd.oci.empty.v1+json",
          digest: digestOf(config),
          size: config.length,
        },
        layers: [],
      }),
    );
    await store.writeBlob(
      { mediaType: "x", digest: digestOf(config), size: config.length },
      () => once(config),
      signal,
    );
    for (let index = 0; index < 120; index++)
      await store.putManifest(other, { tag: `other-${index}`, mediaType: MANIFEST_TYPE }, signal);
    const one = sample(1000, "zzz");
    await pushSample(store, one);
    expect(await tagsOf(store)).toEqual(["zzz"]);
    expect((await find(store, "snapshot", undefined, signal)).kind).toBe("snapshot");
    await expect(find(store, "snapshot", "other-1", signal)).rejects.toThrow(
      /neither a capture nor a snapshot/,
    );
  });
});

test.for(["docker.io/acme/x", "index.docker.io/acme/x", "Docker.IO:443/acme/x"])(
  "oci:%s asks registry-1.docker.io",
  async (name) => {
    const asked: string[] = [];
    const proxy = createServer();
    proxy.on("connect", (request, socket) => {
      asked.push(String(request.url));
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    vi.stubEnv("HTTPS_PROXY", `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
    vi.stubEnv("NO_PROXY", "");
    await using opened = await openStore(`oci:${name}`, { plainHttp: false, write: true });
    expect(opened.store.name).toBe("oci:docker.io/acme/x");
    await expect(opened.store.getManifest("x", signal)).rejects.toMatchObject({ code: "store-unreachable" });
    expect(asked).toEqual(["registry-1.docker.io:443"]);
    proxy.close();
  },
);

describe("a folder", () => {
  test("keeps what is not ours, and entries of writers at the same time", async () => {
    const dir = join(folder, "layout");
    await using first = (await openStore(dir, { plainHttp: false, write: true })).store;
    await pushSample(first, sample(1000, "0000"));
    const path = join(dir, "index.json");
    const index = JSON.parse(await readFile(path, "utf8"));
    const foreign = {
      ...{
        mediaType: "application/vnd.oci.image.index.v1+json",
        digest: `sha512:${"0".repeat(128)}`,
        size: 1,
      },
      ...{
        platform: { os: "linux", architecture: "arm64" },
        annotations: { "org.opencontainers.image.ref.name": "x" },
      },
    };
    await writeFile(
      path,
      JSON.stringify({ ...index, annotations: { a: "b" }, manifests: [...index.manifests, foreign, 7] }),
    );
    // One whose holder is gone does not stop anybody.
    await writeFile(join(dir, ".index.lock"), "elsewhere 1 1 1");
    await utimes(join(dir, ".index.lock"), 0, 0);
    await Promise.all(
      Array.from({ length: 12 }, async (_, number) => {
        await using store = (await openStore(dir, { plainHttp: false, write: true })).store;
        await pushSample(store, sample(1000, `id-${number}`));
      }),
    );
    const after = JSON.parse(await readFile(path, "utf8"));
    expect(after.annotations).toEqual({ a: "b" });
    expect(after.manifests).toContainEqual(foreign);
    expect(after.manifests).toContain(7);
    expect(await tagsOf(first)).toHaveLength(13);
    expect((await readdir(dir)).sort()).toEqual(["blobs", "index.json", "oci-layout"]);
  });
});

test("parts of one content are in a file once", async () => {
  const { artifact, readPart } = sample(1000);
  const [part] = artifact.parts;
  if (part === undefined) throw new Error("no part");
  const twice = { ...artifact, parts: [part, { ...part, name: "devices.zst" as const }] };
  const path = join(folder, "twice.thaw");
  await using writer = await ArchiveWriter.create(path);
  const pushed = await pushArtifacts(writer, { artifact: twice, base: null, readPart }, { signal });
  await writer.finish();
  expect([pushed.sentBytes, pushed.presentBytes]).toEqual([1000, 1000]);
  await using reader = await ArchiveReader.open(path);
  expect((await find(reader, "snapshot", artifact.id, signal)).layers).toHaveLength(2);
});

describe("other servers", () => {
  for (const { name, program, reason } of registryPrograms())
    test.skipIf(program === null)(`${name}${program === null ? `: ${reason}` : ""}`, async () => {
      const other = await startRegistry(join(folder, name), program ?? "");
      try {
        await login(other.host, { auth: other.auth });
        await using store = storeAt(other.host, "acme/failures");
        const one = sample(20 * mib);
        await pushSample(store, one);
        await expectWhole(store, one);
        await using relay = await cuttingRelay(other.host, [3_000_000]);
        await login(relay.host, { auth: other.auth });
        await using cut = storeAt(relay.host, "acme/cut");
        const two = sample(20 * mib);
        await pushSample(cut, two);
        await expectWhole(cut, two);
      } finally {
        await other.stop();
      }
    });
});
