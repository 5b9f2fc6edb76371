/**
 * The state folder of a suite, with the template `base` in it and a daemon of its own, and what a look from outside finds of it: processes,
 * cgroups, mounts, files. As root it is on a small disk (a tmpfs), which can be filled.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  type Dirent,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { findPaths, Thaw } from "../../client/index.ts";
import { isAlive, until } from "../helpers/processes.ts";

const ROOT = join(import.meta.dirname, "..", "..");
export const thawBin = join(ROOT, "dist", "thaw.mjs");
/** Larger than what is ever in it: it is cut to what is used and what is left free once base is there. */
const LARGEST = "4g";

export interface CliResult {
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
}

export interface SuiteProcess {
  pid: number;
  /** As it calls itself: `thaw-vm`, `thaw-keeper`, `thaw-daemon`, `qemu-img`, … */
  name: string;
  /** Of a machine's: the id of its sandbox. */
  sandbox: string | undefined;
}

export class SuiteHome implements AsyncDisposable {
  readonly path: string;
  readonly socket: string;
  /** Whether it is on a disk of its own. */
  readonly isSmall: boolean;
  readonly env: Record<string, string>;
  /** Of a disk of its own. */
  diskBytes = 0;
  readonly #clients: Thaw[] = [];

  constructor(path: string, isSmall: boolean) {
    this.path = path;
    this.isSmall = isSmall;
    this.env = { THAW_HOME: path, THAW_CONFIG: join(path, "config"), NO_COLOR: "1" };
    this.socket = findPaths({ ...process.env, ...this.env, THAW_SOCKET: undefined }).socket;
  }

  /** A client with connections of its own. It starts the daemon when there is none. */
  client(): Thaw {
    const client = new Thaw({ home: this.path, socket: this.socket });
    this.#clients.push(client);
    return client;
  }

  /** The built command. Never rejects on an exit code. */
  async thaw(
    args: readonly string[],
    options: { signal?: AbortSignal; deadlineMs?: number } = {},
  ): Promise<CliResult> {
    const { exitCode, stdout, stderr, message } = await execa(process.execPath, [thawBin, ...args], {
      ...{ reject: false, stripFinalNewline: false, stdin: "ignore", timeout: options.deadlineMs ?? 300_000 },
      env: { ...this.env, THAW_SOCKET: undefined },
      ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    });
    return {
      exitCode,
      stdout: String(stdout),
      stderr: exitCode === undefined ? `${stderr}${message}` : String(stderr),
    };
  }

  freeMib(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return Math.floor((bavail * bsize) / 2 ** 20);
  }

  /** The name of the cgroup of its machines. */
  get #group(): string {
    return `thaw-${createHash("sha256").update(dirname(this.socket)).digest("hex").slice(0, 8)}`;
  }

  /** Processes of this state folder: those that name it, or its sockets, those in its cgroups, machines of its keepers, its daemons. */
  processes(): SuiteProcess[] {
    const marks = [`${this.path}/`, `${dirname(this.socket)}/`];
    const group = `/${this.#group}/`;
    const found = new Map<number, SuiteProcess>();
    // Oldest first: a keeper is seen before its machine.
    for (const pid of listFolder("/proc")
      .map(Number)
      .filter((one) => one > 0)
      .sort((a, b) => a - b)) {
      if (pid === process.pid || !isAlive(pid)) continue;
      const [name, line, cgroup, stat] = ["comm", "cmdline", "cgroup", "stat"].map((file) =>
        readNow(pid, file),
      ) as [string, string, string, string];
      const parent = Number(stat.replace(/^.*\) \S+ /s, "").split(" ")[0]);
      const isDaemon = line.startsWith("thaw-daemon") && hasOpen(pid, join(this.path, "daemon.lock"));
      const isOurs =
        isDaemon ||
        marks.some((mark) => line.includes(mark)) ||
        cgroup.includes(group) ||
        found.get(parent)?.name === "thaw-keeper";
      if (!isOurs) continue;
      const sandbox = /(?:-name\0thaw|--id\0)-?([a-z0-9]+)-/.exec(line)?.[1];
      found.set(pid, { pid, name: isDaemon ? "thaw-daemon" : name.trim(), sandbox });
    }
    return [...found.values()];
  }

  daemons(): number[] {
    return this.processes()
      .filter(({ name }) => name === "thaw-daemon")
      .map(({ pid }) => pid);
  }

  /** SIGKILL, and gone for sure. Answers whether there was one. */
  async killDaemon(): Promise<boolean> {
    const pids = this.daemons();
    for (const pid of pids) kill(pid, "SIGKILL");
    await until(() => pids.every((pid) => !isAlive(pid)), "the daemon to die");
    return pids.length > 0;
  }

  /** Folders of machines' cgroups, without those of helpers. */
  cgroups(): string[] {
    const roots = [
      "/sys/fs/cgroup",
      ...listFolder("/sys/fs/cgroup").map((one) => join("/sys/fs/cgroup", one)),
    ];
    const ids = roots.flatMap((root) => subfolders(join(root, this.#group)));
    return [...new Set(ids)].filter((id) => id !== "tools").map((id) => id.replace(/-.*/, ""));
  }

  /** Folders with machines' sockets. */
  runtimes(): string[] {
    return subfolders(dirname(this.socket))
      .filter((name) => name !== "tools")
      .map((name) => name.replace(/-.*/, ""));
  }

  /** Mounts beneath it, and loop devices on its files. */
  mounts(): string[] {
    const mounted = readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(` ${this.path}/`) || line.includes(` ${dirname(this.socket)}/`));
    const looped = listFolder("/sys/block")
      .map((name) => join("/sys/block", name, "loop", "backing_file"))
      .filter((file) => existsSync(file) && readFileSync(file, "utf8").startsWith(`${this.path}/`));
    return [...mounted, ...looped];
  }

  /** Names in one of its folders. */
  list(folder: string): string[] {
    return listFolder(join(this.path, folder)).sort();
  }

  /** What is half made: hidden and temporary names. */
  leftovers(): string[] {
    const own = new Set(["cache", "versions", "kernels", "rootfs"]);
    const found: string[] = [];
    const walk = (folder: string): void => {
      for (const entry of entriesOf(join(this.path, folder))) {
        const path = join(folder, entry.name);
        if (folder === "" && own.has(entry.name)) continue;
        if (/^\.|\.tmp|\.new$|~$/.test(entry.name)) found.push(path);
        if (entry.isDirectory()) walk(path);
      }
    };
    walk("");
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.thaw(["daemon", "stop", "--all"]);
    await Promise.all(this.#clients.map((client) => client.close()));
    // What did not end by itself is a broken invariant that has been told by now.
    for (const { pid } of this.processes()) kill(pid, "SIGKILL");
    if (this.isSmall) execFileSync("umount", ["-l", this.path]);
    rmSync(this.path, { recursive: true, force: true });
    rmSync(dirname(this.socket), { recursive: true, force: true });
  }
}

export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

function readNow(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}

function hasOpen(pid: number, path: string): boolean {
  return listFolder(`/proc/${pid}/fd`).some((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`) === path;
    } catch {
      return false;
    }
  });
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** None of a folder that went meanwhile. */
function entriesOf(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    return [];
  }
}

function subfolders(path: string): string[] {
  return entriesOf(path)
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

export interface SuiteHomeOptions {
  /** For the folder's name. */
  name: string;
  /** A state folder that has the template `base`, or where it is built. Default: one that is gone afterwards. */
  seed?: string | undefined;
  /** Left free on a disk of its own, as root. Default: no such disk. */
  freeMib?: number;
}

export async function openSuiteHome({ name, seed: given, freeMib }: SuiteHomeOptions): Promise<SuiteHome> {
  if (!existsSync(thawBin)) throw new Error("dist/ is not built: npm run build");
  const seed = given ?? mkdtempSync("/tmp/thaw-seed-");
  mkdirSync(seed, { recursive: true });
  const isSmall = freeMib !== undefined && process.getuid?.() === 0;
  const path = mkdtempSync(`/tmp/thaw-${name}-`);
  if (isSmall) execFileSync("mount", ["-t", "tmpfs", "-o", `size=${LARGEST}`, "tmpfs", path]);
  const home = new SuiteHome(path, isSmall);
  try {
    await buildBase(seed);
    const base = readFileSync(join(seed, "tags", "base"), "utf8").trim();
    for (const part of ["kernels", "host.json", "tags/base", `snapshots/${base}`]) {
      mkdirSync(join(path, part, ".."), { recursive: true });
      execFileSync("cp", ["-a", "--sparse=always", join(seed, part), join(path, part, "..")]);
    }
    const started = await home.thaw(["ls"]);
    if (started.exitCode !== 0) throw new Error(`thaw ls: ${started.stderr}`);
    if (isSmall) {
      const usedMib = 4096 - home.freeMib();
      const mib = usedMib + (freeMib ?? 0);
      execFileSync("mount", ["-o", `remount,size=${mib}m`, path]);
      home.diskBytes = mib * 2 ** 20;
    }
    return home;
  } catch (error) {
    await home[Symbol.asyncDispose]();
    throw error;
  } finally {
    if (given === undefined) rmSync(seed, { recursive: true, force: true });
  }
}

/** Builds the template where it is not there, with a daemon that is gone afterwards unless it was there before. */
async function buildBase(seed: string): Promise<void> {
  const home = new SuiteHome(seed, false);
  const had = home.daemons().length > 0;
  const built = await home.thaw(["template", "build", "base"], { deadlineMs: 900_000 });
  if (built.exitCode !== 0) throw new Error(`thaw template build base: ${built.stderr}`);
  if (!had) await home.thaw(["daemon", "stop"]);
}
