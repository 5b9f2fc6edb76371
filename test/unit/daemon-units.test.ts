import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { formatUnit, quoteWord } from "../../cli/daemon/units.ts";
import { whichDaemon } from "../../cli/doctor/doctor.ts";
import { hasHostDaemon } from "../../client/host-daemon.ts";
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
