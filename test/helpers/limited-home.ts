/** A state folder with a daemon of its own, whose machines share a memory cgroup that can be limited. As root. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { testHome } from "./test-home.ts";
import { thaw } from "./thaw.ts";

const MIB = 2 ** 20;
const V1 = "/sys/fs/cgroup/memory";
const V2 = "/sys/fs/cgroup";
const isV2 = existsSync(join(V2, "cgroup.controllers"));

/** Why machines can't be limited here; null when they can. */
export const cantLimit =
  process.getuid?.() !== 0 ? "not root" : isV2 || existsSync(V1) ? null : "no memory cgroups";

export interface LimitedHome extends AsyncDisposable {
  path: string;
  thaw(...args: string[]): ReturnType<typeof thaw>;
  json<T>(...args: string[]): Promise<T>;
  /** Limits all machines together to what they own now and that much more. @param daemon whether it is in with them: where cgroups are v1 */
  limit(moreMib: number, daemon?: "with the daemon"): Promise<void>;
  unlimit(): void;
}

/** @param config of the daemon */
export async function limitedHome(config: string): Promise<LimitedHome> {
  const path = mkdtempSync("/tmp/thaw-limited-");
  const seed = testHome();
  const base = readFileSync(join(seed, "tags", "base"), "utf8").trim();
  for (const name of ["kernels", "host.json", "tags/base", `snapshots/${base}`]) {
    mkdirSync(join(path, name, ".."), { recursive: true });
    execFileSync("cp", ["-a", "--link", join(seed, name), join(path, name, "..")]);
  }
  writeFileSync(join(path, "config.yaml"), config);
  const runtime = join(path, "run");
  const env = { THAW_HOME: path, THAW_CONFIG: join(path, "config"), THAW_SOCKET: join(runtime, "thaw.sock") };
  const here = (...args: string[]) => thaw(args, { env });
  const name = `thaw-${createHash("sha256").update(runtime).digest("hex").slice(0, 8)}`;
  const group = join(isV2 ? V2 : V1, name);
  const json: LimitedHome["json"] = async (...args) => {
    const said = await here(...args, "--json");
    if (said.exitCode !== 0) throw new Error(`thaw ${args.join(" ")}: ${said.stderr}`);
    return JSON.parse(String(said.stdout));
  };
  const set = (value: string | number) =>
    writeFileSync(join(group, isV2 ? "memory.max" : "memory.limit_in_bytes"), String(value));
  return {
    ...{ path, thaw: here, json },
    async limit(moreMib, daemon) {
      const { pid } = await json<{ pid: number }>("daemon", "status");
      // In version 2 only leaves have processes.
      if (!isV2 && daemon) writeFileSync(join(group, "cgroup.procs"), String(pid));
      const stat = readFileSync(join(group, "memory.stat"), "utf8");
      const owned = Number(new RegExp(`^${isV2 ? "anon" : "total_rss"} (\\d+)$`, "m").exec(stat)?.[1]);
      set(owned + moreMib * MIB);
    },
    unlimit: () => set(isV2 ? "max" : -1),
    async [Symbol.asyncDispose]() {
      if (existsSync(group)) set(isV2 ? "max" : -1);
      await here("daemon", "stop", "--all");
      rmSync(path, { recursive: true, force: true });
    },
  };
}
