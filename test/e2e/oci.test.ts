/** Templates from images of a real registry on loopback. All but the last three tests make a root file system and boot nothing. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { DiskUse, PruneReport, Snapshot } from "../../client/index.ts";
import { EngineError } from "../../engine/errors.ts";
import { openHome } from "../../engine/home.ts";
import type { Progress } from "../../engine/progress.ts";
import { obtainRootfs } from "../../engine/rootfs/obtain.ts";
import { parseRecipe } from "../../engine/templates/recipe.ts";
import { diskFault } from "../../runners/qemu/disk/convert.ts";
import { file, folder, hardLink, layer, pushImage, sendManifest, whiteout } from "../helpers/image.ts";
import { alteringProxy, type Registry, type Spoils, startRegistry } from "../helpers/registry.ts";
import { behavingProxy } from "../helpers/registry-proxy.ts";
import { thaw } from "../helpers/thaw.ts";

const busybox = readFileSync("/bin/busybox");
const runner = { rootDisk: null, diskFault: (start: Buffer, mib: number) => diskFault(start, mib * 2 ** 20) };
let dir: string;
let home: string;
let registry: Registry;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "thaw-oci-"));
  registry = await startRegistry(join(dir, "registry"));
});
afterAll(async () => {
  await registry.stop();
  await rm(dir, { recursive: true, force: true });
});
beforeEach(() => {
  home = mkdtempSync(join(dir, "home-"));
  vi.stubEnv("REGISTRY_AUTH_FILE", registry.authFile);
});
afterEach(() => vi.unstubAllEnvs());

const push = (name: string, options: Parameters<typeof pushImage>[1], tag = "latest") =>
  pushImage({ ...registry, name, tag }, options);
const small = (text: string) => ({ layers: [layer(file("text", text))] });

interface Obtained {
  disk: string;
  defaults: { env: Record<string, string>; user: string; workdir: string };
  phases: string[];
}

/** Makes the root file system of `from`, or uses the one that is there. */
async function obtain(
  from: string,
  { root = home, disk = "32M", signal = new AbortController().signal, onProgress = (_: Progress) => {} } = {},
): Promise<Obtained> {
  const recipe = parseRecipe(`name: t\nfrom: oci:${from}\nresources: { disk: ${disk} }\n`, "t.yaml");
  const phases: string[] = [];
  const context = { home: openHome(root), runner, needTools: async () => {}, needDisk: async () => {} };
  const made = await obtainRootfs(context, recipe, {
    signal,
    onProgress: (progress) => {
      if (progress.state === "done") phases.push(`${progress.phase} ${progress.detail ?? ""}`.trim());
      onProgress(progress);
    },
  });
  return { ...made, phases };
}

/** The error, and that nothing was left behind. */
async function refusal(work: Promise<unknown>, root = home): Promise<EngineError> {
  const error = await work.catch((one: unknown) => one);
  expect(readdirSync(join(root, "rootfs"))).toEqual([]);
  if (!(error instanceof EngineError)) throw new Error(`not refused: ${error}`);
  return error;
}

async function behind<T>(spoils: Spoils, work: (host: string) => Promise<T>): Promise<T> {
  const proxy = await alteringProxy(registry.host, spoils);
  const { auth } = registry;
  const authFile = join(dir, "proxy-auth.json");
  await writeFile(authFile, JSON.stringify({ auths: { [proxy.host]: { auth } } }));
  vi.stubEnv("REGISTRY_AUTH_FILE", authFile);
  try {
    return await work(proxy.host);
  } finally {
    vi.stubEnv("REGISTRY_AUTH_FILE", registry.authFile);
    await proxy.stop();
  }
}

function readFromDisk(disk: string, path: string): string {
  const raw = `${disk}.raw`;
  execFileSync("qemu-img", ["convert", "-O", "raw", disk, raw]);
  const text = execFileSync("debugfs", ["-R", `cat ${path}`, raw], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  rmSync(raw);
  return text;
}

describe("which image", () => {
  test("a tag that did not move fetches nothing, a moved one is another image, and each is kept", async () => {
    await push("moves", small("first"));
    const first = await obtain(`${registry.host}/moves`);
    expect(first.phases.map((phase) => phase.split(" ")[0])).toEqual(["image", "pull", "unpack", "write"]);
    expect(readFromDisk(first.disk, "/text")).toBe("first");
    const again = await obtain(`${registry.host}/moves:latest`);
    expect(again).toMatchObject({ disk: first.disk, phases: [expect.stringMatching(/^image sha256:/)] });
    const digest = await push("moves", small("second"));
    const second = await obtain(`${registry.host}/moves`);
    expect(readFromDisk(second.disk, "/text")).toBe("second");
    const pinned = await obtain(`${registry.host}/moves:latest@${digest}`);
    expect(pinned.disk).toBe(second.disk);
    // Its digest says all: the registry is not asked again.
    expect((await obtain(`${registry.host}/moves:latest@${digest}`)).phases).toEqual([]);
    expect((await obtain(`${registry.host}/moves`, { disk: "40M" })).disk).not.toBe(second.disk);
  });

  test("a registry that can't be reached: what the reference last meant", async () => {
    await push("away", small("kept"));
    const { made, from } = await behind({}, async (host) => ({
      made: await obtain(`${host}/away`),
      from: `${host}/away`,
    }));
    const again = await obtain(from);
    expect(again).toMatchObject({ disk: made.disk, defaults: made.defaults });
    expect(again.phases).toEqual([
      expect.stringMatching(/^image sha256:\w+, made before: .*connection refused/),
    ]);
    expect((await obtain(`${from}:other`).catch((error) => error)).code).toBe("store-unreachable");
  });

  test("one for this machine among several, in indexes within one another", async () => {
    await push("deep", { ...small("amd64"), indexes: 3 });
    expect(readFromDisk((await obtain(`${registry.host}/deep`)).disk, "/text")).toBe("amd64");
    await push("many", { ...small("arm64"), architecture: "arm64", indexes: 1 }, "arm");
    await push("many", { ...small("arm64"), architecture: "arm64" }, "plain");
    for (const tag of ["arm", "plain"]) {
      const { code, hint } = await obtain(`${registry.host}/many:${tag}`).catch((error) => error);
      expect([code, hint]).toEqual(["unsupported", "it has linux/arm64"]);
    }
  });

  test("its environment, user and working folder; what is not used is said", async () => {
    const config = {
      ...{ Env: ["PATH=/x:/bin", "EMPTY=", "A=b=c", "nonsense"], User: "7:8", WorkingDir: "srv/./app/" },
      ...{ Cmd: ["/bin/sh"], Entrypoint: [], Volumes: { "/data": {} }, StopSignal: "" },
    };
    await push("config", { ...small("x"), config });
    const { defaults, phases } = await obtain(`${registry.host}/config`);
    const env = { PATH: "/x:/bin", EMPTY: "", A: "b=c" };
    expect(defaults).toEqual({ env, user: "7:8", workdir: "/srv/app" });
    expect(phases[1]).toMatch(/1 layers, .*; not used: Cmd, Volumes$/);
    expect((await obtain(`${registry.host}/config`)).defaults).toEqual(defaults);
  });
});

describe("refused, by name, with nothing left", () => {
  test("what the registry does not have, or does not give", async () => {
    await push("there", small("x"));
    const absent = [`${registry.host}/absent`, `${registry.host}/there:absent`];
    for (const from of absent) expect((await refusal(obtain(from))).code).toBe("not-found");
    vi.stubEnv("REGISTRY_AUTH_FILE", join(dir, "none.json"));
    const { code, hint } = await refusal(obtain(`${registry.host}/there`));
    expect([code, hint]).toEqual(["store-denied", expect.stringMatching(`thaw login ${registry.host}`)]);
    const forbids = await behavingProxy(registry.host, `Basic ${registry.auth}`, ({ path }) =>
      path.includes("/blobs/") ? { answer: { status: 403 } } : undefined,
    );
    expect((await refusal(obtain(`${forbids.host}/there`))).code).toBe("store-denied");
    await forbids[Symbol.asyncDispose]();
  });

  test("what is not an image", async () => {
    const { code, message } = await behavedAs('{"schemaVersion":2,"layers":"none"}');
    expect([code, message]).toEqual(["build-failed", expect.stringMatching(/not an image/)]);
    expect((await behavedAs("<html>")).message).toMatch(/not an image/);
    expect((await behavedAs(`{"manifests":[${"[".repeat(100_000)}`)).message).toMatch(/not an image/);
  });

  /** A registry whose manifests are all `body`. */
  async function behavedAs(body: string): Promise<EngineError> {
    const headers = { "content-type": "application/vnd.oci.image.manifest.v1+json" };
    await using proxy = await behavingProxy(registry.host, `Basic ${registry.auth}`, ({ path }) =>
      path.includes("/manifests/") ? { answer: { status: 200, headers, body } } : undefined,
    );
    return await refusal(obtain(`${proxy.host}/x`));
  }

  test("indexes without an end, and one without images", async () => {
    const mediaType = "application/vnd.oci.image.index.v1+json";
    await push("endless", { ...small("x"), indexes: 8 });
    expect((await refusal(obtain(`${registry.host}/endless`))).message).toMatch(/more than 5 indexes/);
    const empty = { schemaVersion: 2, mediaType, manifests: [] };
    await sendManifest({ ...registry, name: "endless" }, empty, "empty");
    expect((await refusal(obtain(`${registry.host}/endless:empty`))).code).toBe("unsupported");
  });

  test("a layer with another digest than the manifest says, and the next try works", async () => {
    await push("spoilt", { layers: [layer(file("noise", randomBytes(200_000)))] });
    const spoilt = await behind({ alterAbove: 100_000 }, (host) => refusal(obtain(`${host}/spoilt`)));
    expect([spoilt.code, spoilt.message]).toEqual(["store-corrupt", expect.stringMatching(/digest/i)]);
    expect((await obtain(`${registry.host}/spoilt`)).phases).toHaveLength(4);
  });

  test("a registry that says nothing, and one that stops in a layer", async () => {
    vi.stubEnv("THAW_STORE_TIMEOUT", "2");
    const silent = await behind({ silent: true }, (host) => refusal(obtain(`${host}/x`)));
    expect([silent.code, silent.message]).toEqual([
      "store-unreachable",
      expect.stringMatching(/did not answer/),
    ]);
    // What comes before the layer has to be there in time on a busy host, too.
    vi.stubEnv("THAW_STORE_TIMEOUT", "10");
    await push("stops", { layers: [layer(file("noise", randomBytes(3 << 20)))] });
    const stops = await behind({ bytesPerSecond: 1 }, (host) => refusal(obtain(`${host}/stops`)));
    expect([stops.code, stops.message]).toEqual([
      "store-unreachable",
      expect.stringMatching(/sent nothing for/),
    ]);
  });

  test("Ctrl-C during a pull", async () => {
    await push("slow", { layers: [layer(file("noise", randomBytes(3 << 20)))] });
    const controller = new AbortController();
    await behind({ bytesPerSecond: 100_000 }, async (host) => {
      const onProgress = ({ phase, state }: Progress): void => {
        if (phase === "pull" && state === "output") controller.abort(new EngineError("cancelled", "stopped"));
      };
      const error = await refusal(obtain(`${host}/slow`, { signal: controller.signal, onProgress }));
      expect(error.code).toBe("cancelled");
    });
  });

  test("more than the recipe's disk holds", async () => {
    await push("large", { layers: [layer(file("zeros", Buffer.alloc(40 << 20)))] });
    const { message, hint } = await refusal(obtain(`${registry.host}/large`));
    expect([message, hint]).toEqual([
      expect.stringMatching(/larger than the disk/),
      expect.stringMatching(/`disk`/),
    ]);
    // So little of it is left beside the file system's own that only mke2fs can tell.
    await push("tight", { layers: [layer(file("noise", Buffer.alloc(31 << 20, "noise")))] });
    expect((await refusal(obtain(`${registry.host}/tight`))).message).toMatch(/larger than the disk/);
    expect((await obtain(`${registry.host}/tight`, { disk: "64M" })).phases).toHaveLength(4);
  });

  test.runIf(process.getuid?.() === 0)(
    "a host's disk that becomes full, whatever is being written",
    async () => {
      await push("full", { layers: [layer(file("noise", randomBytes(8 << 20)))] });
      const root = join(dir, "full");
      await mkdir(root);
      for (const mib of [4, 12, 20]) {
        execFileSync("mount", ["-t", "tmpfs", "-o", `size=${mib}m`, "tmpfs", root]);
        try {
          const error = await refusal(obtain(`${registry.host}/full`, { root }), root);
          expect(error.code, `${mib} MiB: ${error.message} ${error.details}`).toBe("no-space");
        } finally {
          execFileSync("umount", [root]);
        }
      }
    },
  );
});

describe("in a machine", () => {
  /** Runs a command in a sandbox of the image, whose registry needs no password. */
  async function runIn(name: string, recipe: string, ...command: string[]) {
    await using open = await behavingProxy(registry.host, `Basic ${registry.auth}`, () => undefined);
    const path = join(home, "template.yaml");
    await writeFile(path, `name: ${name}\nfrom: oci:${open.host}/${name}\n${recipe}`);
    return await thaw(["run", "--template", path, "--", ...command]);
  }
  const resources = "resources: { memory: 256M, disk: 64M }\n";

  test("commands run as the image says, where the recipe says nothing else", async () => {
    const applets = ["sh", "cat", "id", "pwd", "true", "sync"];
    const lower = layer(
      ...[folder("bin"), file("bin/busybox", busybox, { mode: 0o755 }), file("etc/os-release", "ID=old\n")],
      ...[file("etc/gone", ""), ...applets.map((name) => hardLink(`bin/${name}`, "bin/busybox"))],
    );
    const upper = layer(file("etc/os-release", "ID=mini\n"), whiteout("etc/gone"));
    const config = { Env: ["PATH=/bin", "A=image", "B=image"], User: "1000:1000", WorkingDir: "/srv/app" };
    await push("mini", { layers: [lower, upper], compression: "zstd", indexes: 2, config });
    const recipe = `env: { B: recipe }\nsetup: ["id -u > /setup; echo $A$B >> /setup"]\n${resources}`;
    const script = 'cat /etc/os-release /setup; pwd; id -u; echo $A $B; test ! -e /etc/gone; echo "gone $?"';
    const { stdout, stderr, exitCode } = await runIn("mini", recipe, "sh", "-c", script);
    expect(exitCode, String(stderr)).toBe(0);
    const lines = ["ID=mini", "0", "imagerecipe", "/srv/app", "1000", "image recipe", "gone 0", ""];
    expect(String(stdout).split("\n")).toEqual(lines);
  });

  test("its packages are known; a refresh builds again if the tag leads to another image, and only then", async () => {
    await using open = await behavingProxy(registry.host, `Basic ${registry.auth}`, () => undefined);
    const path = join(home, "template.yaml");
    await writeFile(path, `name: refreshed\nfrom: oci:${open.host}/refreshed\n${resources}`);
    const pushed = (version: string) =>
      push("refreshed", {
        layers: [
          layer(
            ...[folder("bin"), file("bin/busybox", busybox, { mode: 0o755 })],
            ...["sh", "cat", "true", "sync"].map((name) => hardLink(`bin/${name}`, "bin/busybox")),
            ...[file("etc/os-release", "ID=alpine\nVERSION_ID=3.20.1\n"), folder("lib/apk/db")],
            file("lib/apk/db/installed", `P:musl\nV:${version}\nA:x86_64\n\n`),
          ),
        ],
      });
    const build = async (...flags: string[]) => {
      const { exitCode, stdout, stderr } = await thaw(["template", "build", path, "--json", ...flags]);
      expect(exitCode, String(stderr)).toBe(0);
      return { ...(JSON.parse(String(stdout)) as Snapshot), told: String(stderr) };
    };
    await pushed("1.0-r0");
    const first = await build("--refresh");
    expect(first.packages).toEqual({
      ...{ manager: "apk", system: "alpine 3.20.1", count: 1, outdated: null, indexAt: null },
    });
    const same = await build("--refresh");
    expect([same.id, same.told]).toEqual([
      first.id,
      expect.stringMatching(/"refresh".*the image is the same/),
    ]);
    await pushed("1.1-r0");
    expect((await build()).id).toBe(first.id);
    const moved = await build("--refresh");
    expect(moved.told).toMatch(/"refresh".*the tag leads to another image/);
    expect(moved.id).not.toBe(first.id);
    // No build uses the root file system of the image before: prune frees it, and keeps the other one.
    const roots = async () => {
      const { kinds } = JSON.parse(String((await thaw(["df", "--json"])).stdout)) as DiskUse;
      const { count, prunableBytes } = kinds.find(({ kind }) => kind === "rootfs") ?? {};
      return { count, prunableBytes };
    };
    const before = await roots();
    expect(before.prunableBytes).toBeGreaterThan(0);
    const { rootfs } = JSON.parse(String((await thaw(["prune", "--json"])).stdout)) as PruneReport;
    expect(rootfs.map(({ reason }) => reason)).toContain("its image's tag leads to another image");
    expect(await roots()).toEqual({ count: Number(before.count) - rootfs.length, prunableBytes: 0 });
    const { stdout } = await thaw(["run", "--template", path, "--", "cat", "/lib/apk/db/installed"]);
    expect(stdout).toMatch(/V:1\.1-r0/);
  });

  test("an image without a shell runs commands; a setup step says what it lacks", async () => {
    await push("bare", { layers: [layer(file("cat", busybox, { mode: 0o755 }), file("text", "hello"))] });
    const { stdout, stderr, exitCode } = await runIn("bare", resources, "/cat", "text");
    expect([exitCode, stdout], String(stderr)).toEqual([0, "hello"]);
    const failed = await runIn("bare", `setup: ["true"]\n${resources}`, "/cat", "text");
    expect(failed.exitCode).not.toBe(0);
    expect(failed.stderr).toMatch(/step "true" could not start: .*\/bin\/sh/);
    expect(failed.stderr).toMatch(/run with \/bin\/sh, which this machine lacks/);
  });
});
