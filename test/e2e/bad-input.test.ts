/** What is wrong on the host, in a command line or in a file is said, with what to type; nothing half made is left. */
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa, type Options } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { testHome } from "../helpers/test-home.ts";
import { machineProcesses, thaw, thawBin, until } from "../helpers/thaw.ts";

const dir = mkdtempSync("/tmp/tb-");
const isRoot = process.getuid?.() === 0;
const homes: string[] = [];

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});
afterEach(async () => {
  for (const home of homes.splice(0)) {
    await inHome(home, ["rm", "--all"]);
    await inHome(home, ["daemon", "stop"]);
    rmSync(home, { recursive: true, force: true });
  }
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const inHome = (home: string, args: string[], options: Options = {}) =>
  thaw(args, { ...options, env: { THAW_HOME: home, ...options.env } });

/** A state folder of its own, with what of the run's is named. */
function freshHome(...parts: string[]): string {
  const home = mkdtempSync(join(dir, "h-"));
  homes.push(home);
  for (const part of parts) cpSync(join(testHome(), part), join(home, part), { recursive: true });
  return home;
}

/** What a build or a sandbox leaves while it is made. */
function halfMade(home: string): string[] {
  return ["builds", "sandboxes", "snapshots", "rootfs", "tags"].flatMap((part) =>
    existsSync(join(home, part)) ? readdirSync(join(home, part)).map((name) => `${part}/${name}`) : [],
  );
}

/** Command lines that name a folder; not the daemon's, nor that of its child that starts machines. */
function processesAt(folder: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")];
      } catch {
        return [];
      }
    })
    .filter((line) => line.includes(folder) && !/daemon\.mjs|bad-input|thaw-keeper starter/.test(line))
    .map((line) => line.slice(0, 300));
}

describe("command lines", () => {
  test.each([
    [["run", "--template", "nodee", "--", "true"], /nodee/, /\bnode\b/],
    [["run", "--snapshot", "basee", "--", "true"], /basee/, /\bbase\b/],
    [["template", "build", "pyton"], /pyton/, /python/],
    [["snapshot", "inspect", "bse"], /bse/, /\bbase\b/],
    [["run", "--timout", "2s", "--", "true"], /--timout/, /--timeout/],
    [["rnu", "--", "true"], /rnu/, /\brun\b/],
    [["run", "--memory", "lots", "--", "true"], /lots/, /512M|2G/],
    [["run", "--memory", "1", "--", "true"], /memory/, /M/],
    [["run", "--timeout", "soon", "--", "true"], /soon/, /\b(2s|10m|30s|5m|1h)\b/],
    [["run", "--cpus", "0", "--", "true"], /cpus/, /1/],
    [["run", "--cpus", "lots", "--", "true"], /lots/, /1/],
    [["run", "--workspace", "/no/such", "--", "true"], /\/no\/such/, /./],
    [["create", "--name", "Not A Name"], /Not A Name/, /lower-case/],
    [["create", "--name", "latest"], /latest/, /captures/],
    [["run", "--name", "fail-7k3x", "--", "true"], /fail-7k3x/, /captures/],
    [["exec", "nobody-here", "--", "true"], /nobody-here/, /thaw ls/],
    [["run", "-e", "=x", "--", "true"], /=x/, /./],
    [["run", "-v", "/here:/src", "--", "true"], /-v/, /--workspace/],
    [["run", "--list", "--", "true"], /--list/, /thaw run NAME/],
    [["ls", "web"], /too many/, /./],
    [["login", "ftp://ghcr.io"], /without ftp:\/\//, /ghcr\.io/],
    [["port", "web", "80"], /80 is not \[ADDRESS:\]HOST:GUEST/, /80:80/],
  ])("%j is exit 2, with what would fit", async (args, named, hint) => {
    const { exitCode, stderr, stdout } = await thaw(args);
    expect([exitCode, stdout], String(stderr)).toEqual([2, ""]);
    expect(String(stderr)).toMatch(named);
    expect(String(stderr)).toMatch(hint);
  });
});

describe("template.yaml", () => {
  test("every mistake at once, with its line and column", async () => {
    const path = join(dir, "template.yaml");
    writeFileSync(
      path,
      "name: Bad Name\nfrom: ubuntu\npackages: [git, 'no such!']\nresources:\n  memory: lots\n  cpu: 2\nsetup:\n  - run: x\nnetwrok: []\n",
    );
    const { exitCode, stderr } = await thaw(["template", "build", path]);
    expect(exitCode).toBe(125);
    const places = [...String(stderr).matchAll(/template\.yaml:(\d+):(\d+): ([a-z.0-9]+)/g)].map(
      ([, line, column, what]) => `${line}:${column} ${what}`,
    );
    expect(places.sort()).toEqual(
      [
        "1:1 name",
        "2:1 from",
        "3:17 packages.1",
        "5:3 resources.memory",
        "6:3 resources.cpu",
        "8:5 setup.0",
        "9:1 netwrok",
      ].sort(),
    );
  });

  test.each([
    ["no YAML", "a: [1, 2\nb: {", /template\.yaml:\d+:\d+/],
    ["nothing", "", /name/],
    ["a list", "- a\n- b\n", /template/],
    [
      "an alias bomb",
      `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefghij"
        .split("")
        .map((name, n) => `${name}: &${name} [${Array(9).fill(`*${"abcdefghij"[n]}`).join(",")}]`)
        .join("\n")}\n`,
      /template\.yaml|alias/i,
    ],
  ])("%s", async (_what, text, expected) => {
    const path = join(dir, "template.yaml");
    writeFileSync(path, text);
    const { exitCode, stderr } = await thaw(["template", "build", path]);
    expect(exitCode, String(stderr)).toBe(125);
    expect(String(stderr)).toMatch(expected);
  });
});

describe("the host", () => {
  test("a state folder that can't be written", async () => {
    writeFileSync(join(dir, "file"), "");
    const { exitCode, stderr } = await inHome(join(dir, "file", "home"), ["run", "--", "true"]);
    expect(exitCode).toBe(125);
    expect(String(stderr)).toMatch(/file\/home/);
    expect(String(stderr)).toMatch(/hint: .*THAW_HOME/);
  });

  test("a socket's path that is too long", async () => {
    const home = freshHome();
    const { exitCode, stderr } = await inHome(home, ["run", "--", "true"], {
      env: { XDG_RUNTIME_DIR: join(dir, "x".repeat(100)) },
    });
    expect(exitCode).toBe(2);
    expect(String(stderr)).toMatch(/1\d\d bytes.*107/);
    expect(String(stderr)).toMatch(/hint: .*(XDG_RUNTIME_DIR|THAW_SOCKET)/);
    expect(halfMade(home)).toEqual([]);
  });

  test.runIf(isRoot).each([
    ["not even for the daemon", "64M", /no space left|MB free/i],
    ["not for a sandbox", "320M", /MB free under .*needed/],
  ])("a disk without room, %s", async (_what, size, said) => {
    const home = freshHome();
    await execa("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", home]);
    try {
      const { exitCode, stderr } = await inHome(home, ["run", "--", "true"]);
      expect(exitCode).toBe(125);
      expect(String(stderr)).toMatch(said);
      expect(String(stderr)).toMatch(/hint: /);
      expect(halfMade(home)).toEqual([]);
      expect(
        existsSync(join(home, "versions"))
          ? readdirSync(join(home, "versions")).filter((name) => name.includes("tmp"))
          : [],
      ).toEqual([]);
    } finally {
      await inHome(home, ["daemon", "stop"]);
      await execa("umount", ["-l", home]);
    }
  });

  /** Runs thaw where a tool is not to be had: removed in a layer over its folder, in a mount namespace of its own. */
  const without = (tool: string, home: string, args: string[], env: Record<string, string> = {}) => {
    const hide = `mkdir /tmp/layer; mount -t tmpfs tmpfs /tmp/layer; mkdir /tmp/layer/up /tmp/layer/work; mount -t overlay overlay -o lowerdir=/usr/bin,upperdir=/tmp/layer/up,workdir=/tmp/layer/work /usr/bin; rm /usr/bin/${tool}; umount -l /tmp/layer; rmdir /tmp/layer`;
    const quoted = args.map((arg) => `'${arg}'`).join(" ");
    // The daemon is stopped in there too: it would go on without the tools.
    const script = `${hide}; ${process.execPath} ${thawBin} ${quoted}; code=$?; ${process.execPath} ${thawBin} rm --all >/dev/null 2>&1; ${process.execPath} ${thawBin} daemon stop >/dev/null 2>&1; exit $code`;
    return execa("unshare", ["--mount", "--propagation", "private", "sh", "-c", script], {
      reject: false,
      timeout: 200_000,
      env: { THAW_HOME: home, NO_COLOR: "1", ...env },
    });
  };

  test.runIf(isRoot)("no QEMU: which, why, what to install, before anything is made", async () => {
    const home = freshHome();
    const started = Date.now();
    const { exitCode, stderr } = await without("qemu-system-x86_64", home, ["run", "--", "true"]);
    expect(exitCode).toBe(125);
    expect(stderr).toMatch(/qemu-system-x86/i);
    expect(stderr).toMatch(/apt-get install .*qemu-system-x86/);
    expect(halfMade(home)).toEqual([]);
    expect(Date.now() - started).toBeLessThan(60_000);
  });

  test.runIf(isRoot)("no mmdebstrap: which, what to install, nothing half made", async () => {
    const home = freshHome();
    const { exitCode, stderr } = await without("mmdebstrap", home, ["template", "build", "base"]);
    expect(exitCode).toBe(125);
    expect(stderr).toMatch(/mmdebstrap/);
    expect(stderr).toMatch(/apt-get install .*mmdebstrap/);
    expect(halfMade(home)).toEqual([]);
  });

  test.runIf(isRoot)(
    "no right to make a jail: a warning in doctor; a jail that is required is refused",
    async () => {
      const home = freshHome("snapshots", "tags", "kernels");
      // Root of an ordinary container.
      const contained = (...args: string[]) =>
        execa("setpriv", ["--bounding-set=-sys_admin", process.execPath, thawBin, ...args], {
          reject: false,
          timeout: 200_000,
          env: { THAW_HOME: home, NO_COLOR: "1", THAW_JAIL: "required" },
        });
      try {
        const doctor = await contained("doctor", "--json");
        const { probes } = JSON.parse(doctor.stdout) as { probes: { name: string; hint?: string }[] };
        expect(probes.find(({ name }) => name === "jail")).toMatchObject({
          state: "missing",
          hint: expect.stringMatching(/CAP_SYS_ADMIN/),
        });
        const { exitCode, stderr } = await contained("run", "--snapshot", "base", "--", "true");
        expect(exitCode).toBe(125);
        expect(stderr).toMatch(/jail/);
        expect(stderr).toMatch(/hint: .*CAP_SYS_ADMIN/);
        expect(halfMade(home).filter((path) => path.startsWith("sandboxes/"))).toEqual([]);
      } finally {
        await contained("daemon", "stop");
      }
    },
  );
});

describe("a snapshot whose files are not as they were", () => {
  const overwrite = (path: string, at: number) => {
    const fd = openSync(path, "r+");
    writeSync(fd, Buffer.from("altered"), 0, 7, at);
    closeSync(fd);
  };
  test("is refused by the file's name, and verify names each", async () => {
    const home = freshHome("snapshots", "tags", "kernels", "host.json");
    const id = readFileSync(join(home, "tags/base"), "utf8").trim();
    const file = (name: string) => join(home, "snapshots", id, name);
    const whole = await inHome(home, ["snapshot", "verify", "base"]);
    expect([whole.exitCode, String(whole.stderr)]).toEqual([0, ""]);

    overwrite(file("memory"), 5_000_000);
    overwrite(file("disk.qcow2"), 50_000_000);
    const spoiled = await inHome(home, ["snapshot", "verify", "base"]);
    expect(spoiled.exitCode).not.toBe(0);
    expect(`${spoiled.stdout}${spoiled.stderr}`).toMatch(/memory[\s\S]*disk\.qcow2|disk\.qcow2[\s\S]*memory/);
    expect(`${spoiled.stdout}${spoiled.stderr}`).not.toMatch(/devices.*(changed|bytes)/);

    overwrite(file("devices"), 1000);
    const devices = await inHome(home, ["run", "--snapshot", "base", "--", "true"]);
    expect([devices.exitCode, String(devices.stderr)]).toEqual([
      125,
      expect.stringMatching(/devices.*\n[\s\S]*thaw snapshot verify/),
    ]);

    truncateSync(file("memory"), 1_000_000);
    const memory = await inHome(home, ["run", "--snapshot", "base", "--", "true"]);
    expect([memory.exitCode, String(memory.stderr)]).toEqual([
      125,
      expect.stringMatching(/memory has 1000000 bytes/),
    ]);
    overwrite(file("manifest.json"), 20);
    const manifest = await inHome(home, ["run", "--snapshot", "base", "--", "true"]);
    expect([manifest.exitCode, String(manifest.stderr)]).toEqual([
      125,
      expect.stringMatching(/manifest\.json/),
    ]);
    expect(halfMade(home).filter((path) => path.startsWith("sandboxes/"))).toEqual([]);
  });
});

describe("a workspace", () => {
  test("of sockets, pipes and devices: named, left out, the rest goes in", async () => {
    const folder = join(dir, "odd");
    mkdirSync(folder);
    writeFileSync(join(folder, "kept"), "kept");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(folder, "a-socket"), resolve));
    await execa("mkfifo", [join(folder, "a-pipe")]);
    if (isRoot) await execa("mknod", [join(folder, "a-device"), "c", "1", "3"]);
    const { stdout, stderr, exitCode } = await thaw(["run", "--workspace", folder, "--", "ls", "-A"]);
    server.close();
    expect([exitCode, stdout], String(stderr)).toEqual([0, "kept\n"]);
    for (const name of ["a-socket", "a-pipe", ...(isRoot ? ["a-device"] : [])])
      expect(String(stderr)).toContain(name);
  });

  test("of 100,000 files arrives whole", async () => {
    const folder = join(dir, "many");
    for (let d = 0; d < 100; d++) {
      mkdirSync(join(folder, `d${d}`), { recursive: true });
      for (let f = 0; f < 1000; f++) writeFileSync(join(folder, `d${d}`, `f${f}`), "");
    }
    const started = Date.now();
    const { stdout, stderr, exitCode } = await thaw([
      "run",
      "--workspace",
      folder,
      "--",
      "sh",
      "-c",
      "find . -type f | wc -l",
    ]);
    process.stdout.write(`100,000 files: ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
    expect([exitCode, String(stdout).trim()], String(stderr)).toEqual([0, "100000"]);
  }, 300_000);
});

describe("a build whose client goes", () => {
  const start = (home: string) =>
    execa(process.execPath, [thawBin, "template", "build", "base"], {
      env: { THAW_HOME: home, NO_COLOR: "1" },
      reject: false,
    });
  const clean = async (home: string) => {
    await until(
      () => processesAt(home).length === 0,
      () => `what runs for ${home} to end: ${processesAt(home).join("; ")}`,
    );
    await until(
      () => halfMade(home).every((path) => !/^(builds|rootfs\/\.|snapshots\/\.)/.test(path)),
      "what was half made to go",
    );
    expect(readFileSync("/proc/mounts", "utf8")).not.toContain(home);
  };

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGKILL", "SIGKILL"],
  ] as const)("by %s, while the root file system is made", async (signal, end) => {
    const home = freshHome();
    const client = start(home);
    await until(() => processesAt(home).some((line) => line.includes("mmdebstrap")), "mmdebstrap to run");
    await sleep(700);
    client.kill(signal);
    const ended = await client;
    expect(ended.signal ?? ended.exitCode).toBe(end);
    await clean(home);
  });

  test("at moments of the boot and the freeze; a later build works", async () => {
    const home = freshHome("rootfs", "kernels", "host.json");
    for (const [delayMs, signal] of [
      [200, "SIGKILL"],
      [4000, "SIGKILL"],
      [5500, "SIGTERM"],
    ] as const) {
      const client = start(home);
      await until(
        () => readdirSync(home).includes("builds") && readdirSync(join(home, "builds")).length > 0,
        "the build to start",
      );
      const [id = ""] = readdirSync(join(home, "builds"));
      await sleep(delayMs);
      client.kill(signal);
      await client;
      await clean(home);
      await until(async () => (await machineProcesses(id)).length === 0, "the machine to go");
    }
    const { exitCode, stderr } = await inHome(home, ["run", "--", "echo", "built"]);
    expect(exitCode, String(stderr)).toBe(0);
  });
});
