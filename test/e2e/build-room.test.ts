/** Builds of templates on a disk without room: whatever is being written, the error names it, nothing half made stays, and the next try works. As root. */
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { findPaths, type Progress, type Snapshot, Thaw, type ThawError } from "../../client/index.ts";
import { file, folder, hardLink, layer, pushImage } from "../helpers/image.ts";
import { type Registry, startRegistry } from "../helpers/registry.ts";
import { testHome } from "../helpers/test-home.ts";
import { thaw } from "../helpers/thaw.ts";

const isRoot = process.getuid?.() === 0;
const ROOM_MIB = 2048;
const fetched = randomBytes(6 << 20);
let path: string;
let home: string;
let registry: Registry;
let server: Server;
let sdk: Thaw;

/** A small file system with a state folder, and next to it, on the host's own, what the builds are made of. */
beforeAll(async () => {
  if (!isRoot) return;
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  path = mkdtempSync("/tmp/thaw-build-room-");
  home = join(path, "home");
  for (const name of ["home", "registry"]) mkdirSync(join(path, name));
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${ROOM_MIB}m`, "tmpfs", home]);
  // What a build of any template needs.
  for (const name of ["kernels", "host.json"]) execFileSync("cp", ["-a", join(testHome(), name), home]);
  writeFileSync(join(home, "config.yaml"), "limits: { freeDisk: 1M }\n");
  registry = await startRegistry(join(path, "registry"));
  // Its length is not known before it is there.
  server = createServer((_request, response) => {
    response.write(fetched.subarray(0, 1));
    response.end(fetched.subarray(1));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // The daemon inherits it.
  vi.stubEnv("REGISTRY_AUTH_FILE", registry.authFile);
  sdk = new Thaw(findPaths({ ...process.env, THAW_HOME: home }));
  await sdk.host.info();
});
afterAll(async () => {
  if (!isRoot) return;
  vi.unstubAllEnvs();
  await sdk.close();
  await thaw(["daemon", "stop", "--all"], { env: { THAW_HOME: home } });
  server.close();
  await registry.stop();
  execFileSync("umount", ["-l", home]);
  rmSync(path, { recursive: true, force: true });
});

const busybox = readFileSync("/bin/busybox");
const APPLETS = ["sh", "cat", "chown", "dd", "dirname", "mkdir", "sha256sum", "sync", "true"];

/** Leaves this much free; without it, all that there is. */
function leaveFree(kib?: number): void {
  const { blocks, bfree, bsize } = statfsSync(home);
  const used = Math.ceil(((blocks - bfree) * bsize) / 1024);
  const size = kib === undefined ? `${ROOM_MIB}m` : `${used + kib}k`;
  execFileSync("mount", ["-o", `remount,size=${size}`, home]);
}

/** Names of what is half made: each folder publishes with a rename. */
function halfMade(): string[] {
  const hidden = ["rootfs", "steps", "snapshots", "downloads"].flatMap((name) =>
    readdirSync(join(home, name))
      .filter((entry) => entry.startsWith("."))
      .map((entry) => `${name}/${entry}`),
  );
  return [...hidden, ...readdirSync(join(home, "builds")).map((entry) => `builds/${entry}`)];
}

interface Attempt {
  error: ThawError | null;
  snapshot: Snapshot | null;
  /** What was being done when it ended. */
  phase: string;
}

async function build(recipe: string, kib?: number): Promise<Attempt> {
  let phase = "";
  const onProgress = (progress: Progress): void => {
    if (progress.state === "started") phase = progress.phase;
  };
  leaveFree(kib);
  try {
    return { error: null, snapshot: await sdk.templates.build({ recipe, files }, { onProgress }), phase };
  } catch (error) {
    return { error: error as ThawError, snapshot: null, phase };
  } finally {
    leaveFree();
  }
}

const LARGE = randomBytes(6 << 20);
const files = { large: { data: LARGE.toString("base64"), executable: false } };

test.runIf(isRoot)("whatever a build is doing when the disk becomes full", async () => {
  const image = layer(
    ...[folder("bin"), file("bin/busybox", busybox, { mode: 0o755 }), file("noise", randomBytes(8 << 20))],
    ...APPLETS.map((name) => hardLink(`bin/${name}`, "bin/busybox")),
  );
  await pushImage({ ...registry, name: "room", tag: "latest" }, { layers: [image] });
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sha256 = createHash("sha256").update(fetched).digest("hex");
  const head = `name: room
from: oci:${registry.host}/room
resources: { memory: 128M, disk: 128M }
network: ["${address}"]
`;
  const fetch = `fetch: [{ url: "http://${address}/noise", sha256: ${sha256}, to: /fetched }]\n`;
  const placed = `${head}${fetch}files: [{ from: large, to: /large }]\n`;
  const written = `${placed}setup: [{ name: write, run: "dd if=/dev/urandom of=/written bs=1M count=24 && sync" }]\n`;
  const failures: [room: string, recipe: string, kib: number, phase: RegExp][] = [
    ["for no layer", head, 4 << 10, /^pull$/],
    ["for no disk of the image", head, 30 << 10, /^unpack$/],
    ["for no memory of the machine", head, 100 << 10, /^boot$/],
    // Where it ends depends on what the kernel needs: after the boot has begun.
    ["for a part of the machine", `${head}setup: ["true"]\n`, 145 << 10, /./],
  ];
  const told = async (attempts: typeof failures): Promise<void> => {
    for (const [room, recipe, kib, phase] of attempts) {
      const attempt = await build(recipe, kib);
      expect([room, attempt.error?.code], String(attempt.error)).toEqual([room, "no-space"]);
      expect([room, attempt.phase]).toEqual([room, expect.stringMatching(phase)]);
      expect([room, halfMade()]).toEqual([room, []]);
    }
  };
  await told(failures);
  // From here on the booted machine is kept.
  const first = await build(`${head}setup: ["true"]\n`);
  expect(first.error).toBeNull();
  await told([
    ["for no download", `${head}${fetch}`, 3 << 10, /^fetch: /],
    ["for no files", `${head}files: [{ from: large, to: /large }]\n`, 3 << 10, /./],
    ["for no step", written, 20 << 10, /./],
    ["for no second machine", `${head}setup: ["true"]\nwarm: ["true"]\n`, 100 << 10, /^freeze$/],
  ]);
  const last = await build(`${written}warm: ["sha256sum /fetched"]\n`);
  expect(last.error).toBeNull();
  const run = ["run", "--snapshot", last.snapshot?.id ?? "", "--", "sha256sum", "/fetched", "/large"];
  const { stdout } = await thaw(run, { env: { THAW_HOME: home } });
  const digest = createHash("sha256").update(LARGE).digest("hex");
  expect(stdout).toBe(`${sha256}  /fetched\n${digest}  /large\n`);
});
