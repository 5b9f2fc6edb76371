/** The daemon that `thaw daemon install --system` sets up, started with its unit's own arguments: who may use it, and what separates its machines. */
import { spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formatUnit } from "../../cli/daemon/units.ts";
import { installDaemon } from "../../client/install.ts";
import { testHome } from "../helpers/test-home.ts";
import { machineProcesses, type SandboxRow, thaw, thawBin, until } from "../helpers/thaw.ts";

const isRoot = process.getuid?.() === 0;
/** A group that every Debian has, and whose number is not a user's own. */
const GROUP = "games";
const gid = Number(
  readFileSync("/etc/group", "utf8")
    .split("\n")
    .find((line) => line.startsWith(`${GROUP}:`))
    ?.split(":")[2],
);
const MEMBER = 61_001;
const STRANGER = 61_002;

describe.skipIf(!isRoot)("a host's daemon (needs root)", () => {
  const root = isRoot ? mkdtempSync("/run/thaw-host-") : "";
  const home = join(root, "state");
  const socket = join(root, "run", "thaw.sock");
  let daemon: ReturnType<typeof spawn> | undefined;

  /** The command as another user has it: only THAW_SOCKET says where the daemon is. */
  const as = (uid: number, groups: number[], args: string[]) =>
    execa(
      "setpriv",
      [
        ...["--reuid", String(uid), "--regid", String(uid)],
        ...(groups.length > 0 ? ["--groups", groups.join(",")] : ["--clear-groups"]),
        ...[process.execPath, join(root, "cli", "thaw.mjs"), ...args],
      ],
      {
        reject: false,
        extendEnv: false,
        env: { PATH: process.env.PATH ?? "", HOME: join(root, "nobody"), THAW_SOCKET: socket, NO_COLOR: "1" },
      },
    );
  const row = async (name: string) =>
    (JSON.parse((await as(MEMBER, [gid], ["ls", "--json"])).stdout) as SandboxRow[]).find(
      (one) => one.name === name,
    ) as SandboxRow;
  /** What a process of the host with this uid can do with a path. */
  const can = async (uid: number, command: string[]): Promise<boolean> =>
    (
      await execa("setpriv", ["--reuid", String(uid), "--regid", String(uid), "--clear-groups", ...command], {
        reject: false,
      })
    ).exitCode === 0;

  beforeAll(async () => {
    expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
    chmodSync(root, 0o755);
    for (const folder of [home, dirname(socket), join(root, "nobody")]) mkdirSync(folder, { mode: 0o711 });
    chmodSync(join(root, "nobody"), 0o777);
    cpSync(dirname(thawBin), join(root, "cli"), { recursive: true });
    for (const part of ["rootfs", "kernels", "snapshots", "tags", "host.json"])
      if (existsSync(join(testHome(), part)))
        cpSync(join(testHome(), part), join(home, part), { recursive: true });
    const unit = formatUnit({ ...(await installDaemon(home)), home, socket, group: GROUP });
    const [file = "", ...args] = (/^ExecStart=(.*)$/m.exec(unit)?.[1] ?? "").split(" ");
    daemon = spawn(file, args, {
      stdio: "ignore",
      env: { PATH: process.env.PATH },
      cwd: "/",
      detached: true,
    });
    await until(() => existsSync(socket) && statSync(socket).mode % 0o1000 === 0o660, "its socket");
  });
  afterAll(async () => {
    if (!isRoot) return;
    await as(0, [], ["daemon", "stop", "--all"]);
    daemon?.kill();
    rmSync(root, { recursive: true, force: true });
  });

  test("its socket is its group's: members use it, others are refused and told why", async () => {
    const { mode, uid, gid: owner } = statSync(socket);
    expect([mode & 0o777, uid, owner]).toEqual([0o660, 0, gid]);
    const made = await as(MEMBER, [gid], ["create", "--name", "one"]);
    expect([made.exitCode, made.stdout], made.stderr).toEqual([0, "one"]);
    expect((await as(MEMBER, [gid], ["exec", "one", "--", "id", "-un"])).stdout).toBe("root");
    const refused = await as(STRANGER, [], ["ls"]);
    expect(refused.exitCode).toBe(125);
    expect(refused.stderr).toMatch(/not allowed to use the daemon's socket .*thaw\.sock/);
    expect(refused.stderr).toMatch(/hint: join the socket's group/);
    expect((await as(MEMBER, [gid], ["doctor"])).stdout).toMatch(/thaw\.sock; THAW_SOCKET says so/);
  });

  test("each machine has a uid of its own, and none reads what is another's", async () => {
    expect((await as(MEMBER, [gid], ["create", "--name", "two"])).exitCode).toBe(0);
    const places = await Promise.all(
      ["one", "two"].map(async (name) => {
        const { id } = await row(name);
        const pids = await machineProcesses(id);
        const uids = pids.map((pid) => statSync(`/proc/${pid}`).uid).filter((uid) => uid !== 0);
        return { id, pids, uid: uids[0] ?? 0 };
      }),
    );
    const [one, two] = places;
    expect(one?.uid).toBeGreaterThan(0);
    expect(two?.uid).toBeGreaterThan(0);
    expect(one?.uid).not.toBe(two?.uid);
    for (const [own, other] of [
      [one, two],
      [two, one],
    ]) {
      const disk = join(home, "sandboxes", own?.id ?? "", "disk");
      const [overlay = ""] = readdirSync(disk);
      expect(await can(own?.uid ?? 0, ["test", "-r", join(disk, overlay)])).toBe(true);
      for (const uid of [other?.uid ?? 0, MEMBER]) {
        expect(await can(uid, ["test", "-r", join(disk, overlay)])).toBe(false);
        expect(await can(uid, ["ls", disk])).toBe(false);
        expect(await can(uid, ["ls", join(home, "sandboxes", own?.id ?? "", "execs")])).toBe(false);
        const pid = own?.pids.find((one) => statSync(`/proc/${one}`).uid === own?.uid);
        expect(await can(uid, ["test", "-r", `/proc/${pid}/mem`])).toBe(false);
        expect(await can(uid, ["kill", "-0", String(pid)])).toBe(false);
      }
    }
  });
});
