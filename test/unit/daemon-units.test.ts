import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { planJournal } from "../../cli/daemon/logs.ts";
import { formatUnit, quoteWord } from "../../cli/daemon/units.ts";
import { whichDaemon } from "../../cli/doctor/doctor.ts";
import { hasHostDaemon } from "../../client/host-daemon.ts";
import { pruneVersions } from "../../daemon/prune-versions.ts";
import { rotateLog } from "../../daemon/rotate-log.ts";
import { findRestartCommand } from "../../daemon/systemd.ts";

test("the unit of a user's daemon", () => {
  const unit = formatUnit({
    node: "/home/ann lee/.local/state/thaw/versions/node-24.21.0/node",
    script: "/home/ann lee/.local/state/thaw/versions/1f3a/daemon.mjs",
    home: "/home/ann lee/.local/state/thaw",
    socket: "/run/user/1000/thaw/thaw.sock",
  });
  expect(unit).toBe(`[Unit]
Description=thaw: microVM sandboxes

[Service]
# Started is what listens: the daemon says so.
Type=notify
NotifyAccess=all
TimeoutStartSec=10min
ExecStart="/home/ann lee/.local/state/thaw/versions/node-24.21.0/node" "/home/ann lee/.local/state/thaw/versions/1f3a/daemon.mjs" --home "/home/ann lee/.local/state/thaw" --socket /run/user/1000/thaw/thaw.sock
# Machines are processes of their own and outlive the daemon.
KillMode=process
Restart=on-failure
RestartSec=1
TasksMax=infinity
LimitNOFILE=65536

[Install]
WantedBy=default.target
`);
});

test("the unit of a host's daemon", () => {
  const unit = formatUnit({
    node: "/var/lib/thaw/versions/node-24.21.0/node",
    script: "/var/lib/thaw/versions/1f3a/daemon.mjs",
    home: "/var/lib/thaw",
    socket: "/run/thaw/thaw.sock",
    group: "thaw",
  });
  expect(unit).toBe(`[Unit]
Description=thaw: microVM sandboxes of this host
After=local-fs.target

[Service]
# Started is what listens: the daemon says so.
Type=notify
NotifyAccess=all
TimeoutStartSec=10min
ExecStart=/var/lib/thaw/versions/node-24.21.0/node /var/lib/thaw/versions/1f3a/daemon.mjs --home /var/lib/thaw --socket /run/thaw/thaw.sock --group thaw
# Machines are processes of their own and outlive the daemon.
KillMode=process
Restart=on-failure
RestartSec=1
TasksMax=infinity
LimitNOFILE=65536
# Their sockets have to outlive it as well.
RuntimeDirectory=thaw
RuntimeDirectoryMode=0711
RuntimeDirectoryPreserve=yes

[Install]
WantedBy=multi-user.target
`);
});

test.each([
  ["/a/b", "/a/b"],
  ["/a b", '"/a b"'],
  ['/a"b\\', '"/a\\"b\\\\"'],
  ["/100%/$HOME", "/100%%/$$HOME"],
])("a word of a unit: %s", (word, quoted) => {
  expect(quoteWord(word)).toBe(quoted);
});

test.each([
  ["a host's", "0::/system.slice/thaw.service\n", "sudo systemctl restart thaw.service"],
  [
    "cgroup v1",
    "3:cpu:/\n1:name=systemd:/system.slice/thaw@a.service\n",
    "sudo systemctl restart thaw@a.service",
  ],
  [
    "a user's",
    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/thaw.service\n",
    "systemctl --user restart thaw.service",
  ],
  ["no service", "0::/user.slice/user-1000.slice/session-1.scope\n", undefined],
  ["a name that is none", "0::/system.slice/$(id).service\n", undefined],
])("what starts a daemon of systemd again: %s", (_name, cgroups, command) => {
  expect(findRestartCommand("/run/systemd/notify", cgroups)).toBe(command);
  // Started by a client in a service, such as a CI runner's.
  expect(findRestartCommand(undefined, cgroups)).toBe(undefined);
});

test("the host's daemon is there when its unit is and its socket may be used", () => {
  const folder = mkdtempSync(join(tmpdir(), "thaw-unit-"));
  try {
    const at = { unit: join(folder, "thaw.service"), socket: join(folder, "thaw.sock") };
    expect(hasHostDaemon(at)).toBe(false);
    writeFileSync(at.unit, "");
    writeFileSync(at.socket, "");
    expect(hasHostDaemon(at)).toBe(true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("doctor says which daemon, and why", () => {
  const paths = { home: "/h", socket: "/s" };
  expect(whichDaemon(paths, {}).detail).toMatch(/^\/s; yours/);
  expect(whichDaemon(paths, { THAW_SOCKET: "/s" }).detail).toMatch(/THAW_SOCKET/);
  expect(whichDaemon({ ...paths, autostart: false }, {}).detail).toMatch(/the host's own/);
});

test("the journal has the log of a daemon that systemd runs", () => {
  const folder = mkdtempSync(join(tmpdir(), "thaw-units-"));
  const units = { host: join(folder, "host.service"), user: join(folder, "user.service") };
  const own = { home: "/home/ann lee/thaw", socket: "/run/user/1/thaw/thaw.sock" };
  const host = { home: "/var/lib/thaw", socket: "/run/thaw/thaw.sock" };
  expect([planJournal(own, {}, units), planJournal(host, {}, units)]).toEqual([null, null]);
  writeFileSync(units.host, "");
  writeFileSync(units.user, formatUnit({ node: "/n", script: "/s", ...own }));
  const rest = ["--unit", "thaw.service", "--output", "cat", "--no-pager", "--lines"];
  expect(planJournal(own, { tail: 5, follow: true }, units)).toEqual(["--user", ...rest, "5", "--follow"]);
  expect(planJournal(host, {}, units)).toEqual([...rest, "all"]);
  expect(planJournal({ ...own, home: "/home/ann" }, {}, units)).toBeNull();
  rmSync(folder, { recursive: true });
});

test("a log that is too long moves away, and its writer goes on at the start", () => {
  const folder = mkdtempSync(join(tmpdir(), "thaw-rotate-"));
  const path = join(folder, "daemon.log");
  const fd = openSync(path, "a");
  writeSync(fd, "first\n");
  rotateLog(fd, 6);
  expect(readdirSync(folder)).toEqual(["daemon.log"]);
  writeSync(fd, "second\n");
  rotateLog(fd, 6);
  writeSync(fd, "third\n");
  expect([readFileSync(`${path}.1`, "utf8"), readFileSync(path, "utf8")]).toEqual([
    "first\nsecond\n",
    "third\n",
  ]);
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

test("old versions go; newer ones, those in use and those of a unit stay", async () => {
  const folder = mkdtempSync(join(tmpdir(), "thaw-versions-"));
  const versions = join(folder, "versions");
  const build = (digit: string, built: number): string => {
    const name = digit.repeat(16);
    mkdirSync(join(versions, name), { recursive: true });
    writeFileSync(join(versions, name, "version.json"), JSON.stringify({ built }));
    return name;
  };
  const [own, old, newer, used, ofUnit] = [
    build("a", 5),
    build("b", 4),
    build("c", 6),
    build("d", 1),
    build("e", 1),
  ];
  for (const name of ["node-1.2.3", "node-24.0.0", `${old}.tmp-1-x`]) mkdirSync(join(versions, name));
  const unit = join(folder, "unit");
  writeFileSync(unit, `ExecStart=/n ${join(versions, ofUnit, "daemon.mjs")}\n`);
  const user = spawn("sleep", ["600"], { argv0: join(versions, used, "keeper") });
  await once(user, "spawn");
  const options = {
    versions,
    own,
    node: join(versions, "node-24.0.0/node"),
    units: [unit, join(folder, "none")],
  };
  await pruneVersions(options);
  expect(readdirSync(versions)).toHaveLength(8);
  await pruneVersions({ ...options, keepMs: 0 });
  expect(readdirSync(versions).sort()).toEqual([own, newer, used, ofUnit, "node-24.0.0"].sort());
  const exited = once(user, "exit");
  user.kill();
  await exited;
  rmSync(folder, { recursive: true });
});
