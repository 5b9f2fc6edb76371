/** A state folder on a small file system of its own, with template base built. As root. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { testHome } from "./test-home.ts";
import { thaw } from "./thaw.ts";

export interface SmallHome extends AsyncDisposable {
  path: string;
  thaw(...args: string[]): ReturnType<typeof thaw>;
  json<T>(...args: string[]): Promise<T>;
  freeMib(): number;
  daemonPid(): Promise<number>;
}

/** @param freeMib left free once base is there */
export async function smallHome(freeMib: number): Promise<SmallHome> {
  const seed = testHome();
  const path = mkdtempSync("/tmp/thaw-small-");
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4g", "tmpfs", path]);
  const env = { THAW_HOME: path, THAW_CONFIG: join(path, "config") };
  const here = (...args: string[]) => thaw(args, { env });
  const free = (): number => {
    const { bavail, bsize } = statfsSync(path);
    return Math.floor((bavail * bsize) / 2 ** 20);
  };
  const base = readFileSync(join(seed, "tags", "base"), "utf8").trim();
  for (const name of ["kernels", "host.json", "tags/base", `snapshots/${base}`]) {
    mkdirSync(join(path, name, ".."), { recursive: true });
    execFileSync("cp", ["-r", "--sparse=always", join(seed, name), join(path, name, "..")]);
  }
  const started = await here("ls");
  if (started.exitCode !== 0) throw new Error(String(started.stderr));
  const used = 4096 - free();
  execFileSync("mount", ["-o", `remount,size=${used + freeMib}m`, path]);
  return {
    path,
    thaw: here,
    freeMib: free,
    async json(...args) {
      const said = await here(...args, "--json");
      if (said.exitCode !== 0) throw new Error(`thaw ${args.join(" ")}: ${said.stderr}`);
      return JSON.parse(String(said.stdout));
    },
    async daemonPid() {
      return JSON.parse(String((await here("daemon", "status", "--json")).stdout)).pid;
    },
    async [Symbol.asyncDispose]() {
      await here("daemon", "stop", "--all");
      execFileSync("umount", ["-l", path]);
      rmSync(path, { recursive: true });
    },
  };
}
