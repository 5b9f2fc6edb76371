import { once } from "node:events";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pickDaemonEnvironment } from "../../client/daemon-environment.ts";
import { checkSocket, checkSocketFolder, findPaths } from "../../client/paths.ts";
import { waitForSocket } from "../../client/wait-for-socket.ts";

const env = { HOME: "/home/me", XDG_RUNTIME_DIR: "/run/user/1000" };

test("the standard home has the standard socket", () => {
  const standard = { home: "/home/me/.local/state/thaw", socket: "/run/user/1000/thaw/thaw.sock" };
  expect(findPaths(env)).toEqual(standard);
  expect(findPaths({ ...env, THAW_HOME: standard.home })).toEqual(standard);
  expect(findPaths({ ...env, XDG_STATE_HOME: "/state" }).home).toBe("/state/thaw");
});

test("two homes never share a socket", () => {
  const sockets = ["/a", "/b"].map((home) => findPaths({ ...env, THAW_HOME: home }).socket);
  expect(new Set(sockets).size).toBe(2);
  expect(sockets[0]).toMatch(/^\/run\/user\/1000\/thaw\/h-[0-9a-f]{8}\/thaw\.sock$/);
});

test("without a runtime folder there is one by uid", () => {
  const uid = process.getuid?.() ?? 0;
  const folder = uid === 0 ? "/run/thaw" : `/tmp/thaw-${uid}`;
  expect(findPaths({ HOME: "/home/me" }).socket).toBe(`${folder}/thaw.sock`);
});

test("a socket's path that is too long is refused with the limit", () => {
  const long = `/${"x".repeat(107)}`;
  expect(() => findPaths({ ...env, THAW_SOCKET: long })).toThrow(/108 bytes; 107/);
  expect(findPaths({ ...env, THAW_SOCKET: long.slice(0, 107) }).socket.length).toBe(107);
});

test("a link in place of the socket's folder is refused", () => {
  const base = mkdtempSync(join(tmpdir(), "thaw-paths-"));
  mkdirSync(join(base, "real"));
  symlinkSync("real", join(base, "link"));
  expect(() => checkSocketFolder(join(base, "real/thaw.sock"))).not.toThrow();
  expect(() => checkSocketFolder(join(base, "link/thaw.sock"))).toThrow(/not a folder/);
  expect(() => checkSocketFolder(join(base, "absent/thaw.sock"))).not.toThrow();
  rmSync(base, { recursive: true });
});

test("a socket that somebody else made, or that is none, is refused before anything is sent", async () => {
  const base = mkdtempSync(join(tmpdir(), "thaw-socket-"));
  const socket = join(base, "s");
  expect(() => checkSocket(socket)).not.toThrow();
  writeFileSync(socket, "");
  expect(() => checkSocket(socket)).toThrow(/is not a socket/);
  rmSync(socket);
  const server = createServer().listen(socket);
  await once(server, "listening");
  symlinkSync(socket, join(base, "link"));
  expect(() => checkSocket(join(base, "link"))).not.toThrow();
  if (process.getuid?.() === 0) {
    chownSync(socket, 12_345, 12_345);
    for (const name of ["s", "link"])
      expect(() => checkSocket(join(base, name))).toThrow(/belongs to uid 12345/);
  }
  chmodSync(base, 0o777);
  expect(() => checkSocket(join(base, "other"))).toThrow(/written by everybody/);
  chmodSync(base, 0o1777);
  expect(() => checkSocket(join(base, "other"))).not.toThrow();
  server.close();
  rmSync(base, { recursive: true });
});

test("the daemon gets what it needs of our environment, and nothing else", () => {
  const picked = pickDaemonEnvironment({
    PATH: "/bin",
    LC_ALL: "C",
    XDG_RUNTIME_DIR: "/run",
    THAW_HOME: "/h",
    https_proxy: "p",
    SSL_CERT_FILE: "f",
    APT_CONFIG: "a",
    GITHUB_TOKEN: "secret",
    RUNNER_TRACKING_ID: "job",
    NODE_OPTIONS: "--inspect",
    LD_PRELOAD: "x",
  });
  expect(Object.keys(picked).sort()).toEqual(
    ["APT_CONFIG", "LC_ALL", "PATH", "SSL_CERT_FILE", "THAW_HOME", "XDG_RUNTIME_DIR", "https_proxy"].sort(),
  );
});

test("a socket is waited for", async () => {
  const base = mkdtempSync(join(tmpdir(), "thaw-wait-"));
  const socket = join(base, "s");
  expect(await waitForSocket(socket, { deadlineMs: 20 })).toBe(false);
  const waiting = waitForSocket(socket, { deadlineMs: 60_000 });
  const server = createServer().listen(socket);
  expect(await waiting).toBe(true);
  server.close();
  await expect(
    waitForSocket(socket, {
      deadlineMs: 60_000,
      signal: AbortSignal.abort(new Error("enough")),
    }),
  ).rejects.toThrow("enough");
  rmSync(base, { recursive: true });
});
