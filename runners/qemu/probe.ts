/** Lines of `thaw doctor` about machines. Nothing is booted; what a boot proves is recalled. */

import { access, statfs } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { defined } from "../../api/defined.ts";
import { MAX_SOCKET_PATH_BYTES } from "../../api/socket-path.ts";
import { forbiddenNamespaces, lackingRanges } from "../../host/user-namespaces.ts";
import { findTool } from "../host/find-tool.ts";
import { limitsMechanism } from "../host/keeper.ts";
import { LONGEST_SOCKET } from "../host/machine-dir.ts";
import { runTool } from "../host/tool.ts";
import { type Probe, RunnerError } from "../runner.ts";
import type { Context } from "./context.ts";
import { mapsReadOnly, type QemuFacts } from "./host-facts.ts";
import type { ThawRecord } from "./thaw-record.ts";

const GIB = 1024 ** 3;
/** Less than this and the first template can't be built. */
const NEEDED_BYTES = 2 * GIB;
const LONGEST_ID = 40;

/** Tools by the Debian package that has them. Without them templates can't be built; machines can be thawed. */
const TOOLS: readonly [tool: string, debianPackage: string][] = [
  ["mmdebstrap", "mmdebstrap"],
  ["mke2fs", "e2fsprogs"],
  ["qemu-img", "qemu-utils"],
  ["zstd", "zstd"],
  ["xz", "xz-utils"],
  ["dpkg-deb", "dpkg"],
  ["apt-get", "apt"],
  ["fallocate", "util-linux"],
  ["unshare", "util-linux"],
];

export interface ProbeOptions {
  sealPath: string;
  jail?: "auto" | "required" | "off";
}

/** Never throws. */
export async function probe(context: Context, thaws: ThawRecord, options: ProbeOptions): Promise<Probe[]> {
  return Promise.all([
    guarded("qemu", true, () => probeQemu(context)),
    guarded("kvm", false, () => probeKvm(context)),
    guarded("jail", options.jail === "required", () => probeJail(context, options)),
    guarded("cgroup", false, () => probeLimits(context)),
    guarded("thaw", false, () => probeThaw(context, thaws)),
    guarded("memory files", true, () => probeMemoryFiles(context, options.sealPath)),
    guarded("fork", false, () => probeDifference(context)),
    guarded("tools", false, async () => probeTools()),
    guarded("images", false, async () => probeImages()),
    ...(process.getuid?.() === 0 ? [] : [guarded("templates", false, probeUnprivilegedRoot)]),
    guarded("state", true, () => probeState(context.home)),
    guarded("sockets", true, async () => probeSockets(context.runtimeRoot)),
  ]);
}

type Finding = Omit<Probe, "name" | "fatal">;

/** What a probe throws is its finding. */
async function guarded(name: string, fatal: boolean, find: () => Promise<Finding>): Promise<Probe> {
  const finding = await find().catch((error: unknown): Finding => {
    const hint = error instanceof RunnerError && error.hint !== undefined ? { hint: error.hint } : {};
    return { state: "missing", detail: error instanceof Error ? error.message : String(error), ...hint };
  });
  return { name, fatal, ...finding };
}

async function probeQemu(context: Context): Promise<Finding> {
  const facts = await context.facts();
  return { state: "ok", detail: `${versionOf(facts)}, ${facts.machine}, ${facts.path}` };
}

async function probeKvm(context: Context): Promise<Finding> {
  const verdict = await context.kvm();
  switch (verdict.state) {
    case "works":
      return {
        state: "ok",
        detail: `tested with a guest${await proven(context, verdict.at)}, CPU model ${verdict.cpu}`,
      };
    case "unproven":
      return {
        state: "warning",
        detail: `/dev/kvm exists, but is not tested yet; the next template build tests it: ${verdict.reason}`,
        hint: "thaw template build base",
      };
    default:
      return {
        state: "warning",
        detail: `${verdict.reason}; running emulated (20–50 × slower, weaker isolation)`,
        hint: "on a VM: turn on nested virtualisation; on a container host: pass /dev/kvm through",
      };
  }
}

async function probeJail(context: Context, options: ProbeOptions): Promise<Finding> {
  const support = await context.jail();
  if (support.jailed) {
    const user = process.getuid?.() === 0 ? "a uid of its own for each machine" : "a user namespace";
    return {
      state: "ok",
      detail: `${user}, no network, seccomp on; tested${await proven(context, support.at)}`,
    };
  }
  const detail = `machines run without a jail: ${support.reason}`;
  if (options.jail === "off")
    return { state: "warning", detail, hint: "leave the jail on unless the whole host is thrown away" };
  return { state: "warning", detail, ...defined({ hint: support.hint }) };
}

async function probeLimits(context: Context): Promise<Finding> {
  const mechanism = await limitsMechanism(context.tools);
  if (mechanism !== "rlimits")
    return { state: "ok", detail: `${mechanism}: memory, processes, CPU weight; rlimits: file size` };
  return {
    state: "warning",
    detail:
      "rlimits only: no cgroup can be made, so sandboxes have no CPU weights and memory is measured roughly",
    hint: "run the daemon as root, with /sys/fs/cgroup writable",
  };
}

async function probeThaw(context: Context, thaws: ThawRecord): Promise<Finding> {
  const first = await thaws.recall();
  if (first === undefined)
    return {
      state: "warning",
      detail: "no snapshot has been restored with this QEMU and kernel yet",
      hint: "thaw run -- true",
    };
  return {
    state: "ok",
    detail: `a snapshot was restored${await proven(context, first.at)}, ${first.isolation}`,
  };
}

async function probeMemoryFiles(context: Context, sealPath: string): Promise<Finding> {
  if (mapsReadOnly(await context.facts())) return { state: "ok", detail: "snapshots are mapped read-only" };
  await access(sealPath).catch(() => {
    throw new RunnerError("missing-tool", `the helper ${sealPath} is missing`, { hint: "npm run build" });
  });
  const mib = Math.ceil(context.hotMemory.heldBytes / 1024 ** 2);
  return {
    state: "ok",
    detail: `sealed copies in RAM (${mib} MiB now); QEMU 8.2 or newer maps snapshots read-only`,
  };
}

async function probeDifference(context: Context): Promise<Finding> {
  const verdict = await context.difference();
  if (verdict.state === "works")
    return {
      state: "ok",
      detail: `by difference; tested by taking and thawing one${await proven(context, verdict.at)}`,
    };
  if (verdict.state === "unproven") {
    return {
      state: "warning",
      detail: `differences are not tested yet; the next fork tests them: ${verdict.reason}`,
      hint: "thaw create --name a && thaw fork a",
    };
  }
  return {
    state: "warning",
    detail: `by full snapshots, which take seconds: ${verdict.reason}`,
    hint: "the daemon must be able to read its machines' memory: run it as root, and outside containers that forbid ptrace",
  };
}

/** When something was proven and with which versions: a verdict holds for those of now, or it would not have been recalled. */
async function proven(context: Context, at: string | null): Promise<string> {
  const when = at === null ? "" : ` at ${at}`;
  return `${when} with QEMU ${versionOf(await context.facts())}, Linux ${release()}`;
}

function versionOf({ build }: QemuFacts): string {
  return /version (\S+)/.exec(build)?.[1] ?? build;
}

function probeTools(): Finding {
  const found = TOOLS.map(([tool, from]) => ({ tool, from, path: findTool(tool) }));
  const missing = found.filter(({ path }) => path === undefined);
  if (missing.length === 0) return { state: "ok", detail: found.map(({ tool }) => tool).join(", ") };
  const packages = [...new Set(missing.map(({ from }) => from))].join(" ");
  const detail = `no ${missing.map(({ tool }) => tool).join(", ")}: templates can't be built`;
  return { state: "missing", detail, hint: `apt-get install ${packages}` };
}

/** A warning: only templates that are made of an image need it. */
function probeImages(): Finding {
  const path = findTool("skopeo");
  if (path !== undefined) return { state: "ok", detail: `${path} fetches images for templates` };
  const detail = "no skopeo: templates can't be made of images (`from: oci:…`)";
  return { state: "warning", detail, hint: "apt-get install skopeo" };
}

/** Who is not root makes root file systems as root of a user namespace. Tried as the build does it. */
async function probeUnprivilegedRoot(): Promise<Finding> {
  try {
    const argv = ["--map-root-user", "--map-auto", "--mount", "--", "true"];
    await runTool("unshare", argv, { timeoutMs: 10_000, debianPackage: "util-linux" });
    return { state: "ok", detail: "made without root, with the ranges of /etc/subuid and /etc/subgid" };
  } catch (error) {
    const found = (await forbiddenNamespaces()) ?? (await lackingMapper()) ?? (await lackingRanges());
    const { reason, hint = "run the daemon as root" } = found ?? { reason: (error as Error).message };
    return { state: "missing", detail: `templates can't be built without root: ${reason}`, hint };
  }
}

async function lackingMapper(): Promise<{ reason: string; hint: string } | undefined> {
  const found = await Promise.all(["newuidmap", "newgidmap"].map(findTool));
  if (!found.includes(undefined)) return undefined;
  return { reason: "newuidmap and newgidmap are not installed", hint: "apt-get install uidmap" };
}

async function probeState(home: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(home);
  const free = bavail * bsize;
  const detail = `${(free / GIB).toFixed(free < 10 * GIB ? 1 : 0)} GB free in ${home}`;
  if (free >= NEEDED_BYTES) return { state: "ok", detail };
  return { state: "warning", detail, hint: "free at least 2 GB, or set THAW_HOME" };
}

function probeSockets(runtimeRoot: string): Finding {
  const longest = Buffer.byteLength(join(runtimeRoot, "x".repeat(LONGEST_ID), LONGEST_SOCKET));
  if (longest <= MAX_SOCKET_PATH_BYTES) return { state: "ok", detail: runtimeRoot };
  return {
    state: "missing",
    detail: `${runtimeRoot} is too long: a socket's path would have ${longest} bytes, the kernel takes ${MAX_SOCKET_PATH_BYTES}`,
    hint: "set XDG_RUNTIME_DIR to a shorter folder",
  };
}
