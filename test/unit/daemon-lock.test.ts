/** The lock of a state folder, between real processes. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { describeHolder, lockHome, lockPath } from "../../daemon/lock.ts";

let home: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "thaw-lock-"));
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  }
  rmSync(home, { recursive: true, force: true });
});

/** A process that takes the lock, starts a child of its own and says the child's pid. */
async function holdElsewhere(socket: string): Promise<{ holder: ChildProcess; child: number }> {
  const script = `
    const { lockHome } = await import(${JSON.stringify(join(process.cwd(), "daemon/lock.ts"))});
    if ((await lockHome(${JSON.stringify(home)}, ${JSON.stringify(socket)}, 0)) !== "held") process.exit(1);
    const { spawn } = await import("node:child_process");
    const child = spawn("sleep", ["60"], { detached: true, stdio: "ignore" });
    console.log(child.pid);
    setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(holder);
  const [line] = await once(holder.stdout as NodeJS.ReadableStream, "data");
  return { holder, child: Number(String(line)) };
}

test("the second is told who holds it, and gets it when that one is killed, though a child of it lives on", async () => {
  const { holder, child } = await holdElsewhere("/nowhere/a.sock");
  try {
    const refused = await lockHome(home, "/nowhere/b.sock", 0);
    expect(refused).toEqual({ holder: { pid: holder.pid, host: hostname(), socket: "/nowhere/a.sock" } });
    if (typeof refused === "string") throw new Error(refused);
    expect(describeHolder(home, refused.holder)).toContain(
      `a daemon (process id ${holder.pid}) uses ${home} and listens at /nowhere/a.sock`,
    );
    const waiting = lockHome(home, "/nowhere/b.sock", 20_000);
    holder.kill("SIGKILL");
    expect(await waiting).toBe("held");
    process.kill(child, 0);
  } finally {
    process.kill(child, "SIGKILL");
  }
});

test("a holder that serves the socket is the winner: nobody waits for the lock", async () => {
  const socket = join(home, "thaw.sock");
  const { child } = await holdElsewhere(socket);
  const server = createServer((connection) => connection.destroy()).listen(socket);
  try {
    await once(server, "listening");
    expect(await lockHome(home, socket, 60_000)).toBe("served");
    // It listens, but not where we would: no use to wait either.
    expect(await lockHome(home, join(home, "other.sock"), 60_000)).toMatchObject({ holder: { socket } });
  } finally {
    server.close();
    process.kill(child, "SIGKILL");
  }
});

test("no other user can open the file, also one that was there before", async () => {
  writeFileSync(lockPath(home), "not JSON");
  chmodSync(lockPath(home), 0o666);
  expect(await lockHome(home, "/nowhere/a.sock", 0)).toBe("held");
  expect(statSync(lockPath(home)).mode & 0o777).toBe(0o600);
});

test("a link in its place is refused", async () => {
  const { symlinkSync } = await import("node:fs");
  symlinkSync("/etc/hostname", lockPath(home));
  await expect(lockHome(home, "/nowhere/a.sock", 0)).rejects.toThrow(/ELOOP/);
});
