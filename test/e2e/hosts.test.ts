/** Another host: this one, through a real sshd. */
import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { execa, type Options } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findPaths } from "../../client/paths.ts";
import { Sshd } from "../helpers/sshd.ts";
import { daemonPid, type SandboxRow, thaw, thawBin, thawEnv, thawJson, until } from "../helpers/thaw.ts";
import { Terminal } from "../helpers/tmux.ts";

/** The far end's `thaw`: the built one, on the state folder of this run. */
function farThaw(): string {
  const { home, socket } = findPaths({ ...process.env, ...thawEnv() });
  const bin = join(process.cwd(), thawBin);
  return `#!/bin/sh\nTHAW_HOME='${home}' THAW_SOCKET='${socket}' exec '${process.execPath}' '${bin}' "$@"\n`;
}

let sshd: Sshd;
let env: Record<string, string>;

/** Here: a client with a state folder of its own, in which no daemon runs. */
const here = (args: string[], options: Options = {}) =>
  thaw(args, { ...options, env: { ...env, ...(options.env ?? {}) } });
const there = (args: string[], options: Options = {}) => here(["--context", "self", ...args], options);

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  expect((await thaw(["create", "--name", "web"])).exitCode).toBe(0);
  sshd = await Sshd.start({ thaw: farThaw() });
  env = { ...sshd.env, THAW_HOME: join(sshd.folder, "local") };
  const { stdout, stderr, exitCode } = await here(["context", "add", "self", sshd.url]);
  expect(exitCode, String(stderr)).toBe(0);
  expect(stdout).toMatch(/^self: thaw \d+\.\d+\.\d+ on \S+, 1 sandboxes\n$/);
});
afterAll(async () => {
  await here(["daemon", "stop"]);
  await sshd?.[Symbol.asyncDispose]();
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});

describe("a context", () => {
  test("is listed, used and forgotten; a word says which host is worked on", async () => {
    const names = async (args: string[]): Promise<string[]> => {
      const { stdout, stderr } = await here([...args, "ls", "--json"]);
      expect(stderr).toBe("");
      return (JSON.parse(String(stdout)) as SandboxRow[]).map(({ name }) => name);
    };
    expect(await names(["--context", "self"])).toEqual(["web"]);
    expect((await here(["context", "add", "self", sshd.url])).stderr).toContain("--force");
    expect((await here(["context", "add", "other", sshd.url, "--no-check"])).exitCode).toBe(0);
    expect((await here(["context", "use", "other"])).exitCode).toBe(0);
    expect(await names([])).toEqual(["web"]);
    expect((await here(["context", "ls"])).stdout).toMatch(/^\* {2}other {2}ssh:/m);
    expect((await here(["doctor"])).stdout).toMatch(/context +other \(ssh:.*thaw context use/);
    expect((await here(["daemon", "stop"])).stderr).toContain("thaw --context local daemon stop");
    expect((await here(["context", "rm", "other"])).exitCode).toBe(0);
    expect((await here(["context", "ls"])).stdout).toMatch(/^\* {2}local/m);
    const { stderr, exitCode } = await here(["--context", "selv", "ls"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('no context "selv"');
  });

  test("all at once; those that don't answer are said", async () => {
    expect((await here(["context", "add", "dead", "ssh://127.0.0.1:1", "--no-check"])).exitCode).toBe(0);
    const { stdout, stderr, exitCode } = await here(["ls", "--all-contexts"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^CONTEXT +NAME/);
    expect(stdout).toMatch(/^self +web +running/m);
    expect(stderr).toMatch(/^unreachable: dead: ssh can't reach 127\.0\.0\.1.*refused/m);
    const json = JSON.parse(String((await here(["ls", "--all-contexts", "--json"])).stdout));
    expect(json.sandboxes).toMatchObject([{ context: "self", name: "web" }]);
    expect(json.unreachable).toMatchObject([{ context: "dead", error: { code: "daemon-unreachable" } }]);
    expect((await here(["context", "rm", "dead"])).exitCode).toBe(0);
  });

  test("completion knows contexts, and the names behind one", async () => {
    const complete = async (...words: string[]) => (await here(["__complete", "--", ...words])).stdout;
    expect(await complete("--context", "s")).toBe("self\n");
    expect(await complete("context", "use", "")).toBe("local\nself\n");
    // A daemon that is slow to answer is not waited for.
    const completed = async () => (await complete("--context", "self", "exec", "w")) === "web\n";
    await until(completed, "the name behind a context to be completed");
    expect(await complete("--context", "self", "ssh-c")).toBe("ssh-config\n");
  });
});

describe("the verbs, through ssh", () => {
  test("run and exec: streams apart, stdin, exit codes", async () => {
    const run = await there(["run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    expect(run).toMatchObject({ stdout: "out\n", exitCode: 7 });
    expect(run.stderr).toContain("err\n");
    const bytes = randomBytes(3 << 20);
    const { stdout } = await there(["exec", "-i", "web", "--", "sha256sum"], { input: bytes });
    expect(stdout).toBe(`${createHash("sha256").update(bytes).digest("hex")}  -\n`);
    expect((await there(["exec", "web", "--", "nope"])).exitCode).toBe(127);
    expect((await there(["exec", "nobody", "--", "true"])).exitCode).toBe(2);
  });

  test("cp both ways, attach, logs -f", async () => {
    const file = join(sshd.folder, "file");
    writeFileSync(file, randomBytes(1 << 20));
    expect((await there(["cp", file, "web:/tmp/file"])).exitCode).toBe(0);
    expect((await there(["cp", "web:/tmp/file", `${file}.back`])).exitCode).toBe(0);
    expect(readFileSync(`${file}.back`).equals(readFileSync(file))).toBe(true);
    const script = "for i in $(seq 20); do echo $i; sleep 0.1; done; read x; exit $x";
    const { stdout: id } = await there(["exec", "-d", "web", "--", "sh", "-c", `(${script})`]);
    const lines = Array.from({ length: 20 }, (_, i) => `${i + 1}\n`).join("");
    expect((await there(["logs", "-f", "web", String(id).trim()])).stdout).toBe(lines);
    const started = thaw(["exec", "-i", "web", "--", "sh", "-c", `echo here; ${script}`], { stdin: "pipe" });
    await until(async () => {
      const [{ execs } = { execs: [] }] = await thawJson<{ execs: { state: string }[] }[]>(["ls"]);
      return execs.some(({ state }) => state === "running");
    }, "the exec to run");
    const joined = there(["attach", "web", "--takeover", "-i"], { input: "9\n" });
    expect((await joined).exitCode).toBe(9);
    expect((await joined).stdout).toContain("here\n1\n2\n");
    expect((await started).exitCode).toBe(9);
  });

  test("at a terminal: sizes and Ctrl-C are the guest's", async () => {
    await using terminal = await Terminal.open();
    for (const [name, value] of Object.entries(env)) await terminal.type(`export ${name}='${value}'`);
    await terminal.type("clear; thaw --context self shell web");
    await terminal.until(/[#$] $/m);
    await terminal.type("stty size; sleep 600");
    await terminal.until("24 80");
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await terminal.press("C-c");
    await terminal.type("echo interrupted=$?; exit 4");
    await terminal.until("interrupted=130");
    await terminal.until(/host> $/m);
    await terminal.type("echo ended=$?; thaw --context self exec web -- sleep 600");
    await terminal.until("ended=4");
    await until(
      async () => (await thaw(["exec", "web", "--", "pgrep", "-x", "sleep"])).exitCode === 0,
      "sleep",
    );
    await terminal.press("C-c");
    await terminal.type("echo then=$?");
    await terminal.until("then=130");
  });

  test("the dashboard shows two at once: each row says which; one that goes offline is said, and comes back by itself", async () => {
    await using second = await Sshd.start({ thaw: farThaw() });
    // one client's keys and known hosts are for both
    const ours = (name: string): string => join(sshd.folder, name);
    appendFileSync(ours("known_hosts"), readFileSync(join(second.folder, "known_hosts")));
    appendFileSync(join(second.folder, "authorized_keys"), readFileSync(ours("user.pub")));
    expect((await here(["context", "add", "second", second.url])).exitCode).toBe(0);
    try {
      await using terminal = await Terminal.open(env);
      await terminal.resize(120, 30);
      await terminal.type("thaw");
      await terminal.until(/web +running .* self *$/m);
      await terminal.until(/web +running .* second *$/m);
      await second.stop();
      await terminal.until("no connection to second");
      // the other is followed as before, and what is known of the one that is offline stays
      expect((await thaw(["create", "--name", "later"])).exitCode).toBe(0);
      const screen = await terminal.until(/later +running .* self *$/m);
      expect(screen).toMatch(/web +running .* second *$/m);
      expect(screen).not.toMatch(/later .* second *$/m);
      await second.listen();
      await terminal.until(/later +running .* second *$/m);
      await until(
        async () => !(await terminal.screen()).includes("no connection"),
        "its coming back to be seen",
      );
      await terminal.press("q");
      await terminal.until(/^host> $/m);
    } finally {
      await here(["context", "rm", "second"]);
      await here(["daemon", "stop"]);
      await thaw(["rm", "later"]);
    }
  });

  test("a client that is gone takes its run along", async () => {
    const client = execa(process.execPath, [thawBin, "--context", "self", "run", "--", "sleep", "300"], {
      env: { ...thawEnv(), ...env },
      reject: false,
    });
    const rows = () => thawJson<SandboxRow[]>(["ls"]);
    await until(
      async () => (await rows()).filter(({ state }) => state === "running").length === 2,
      "the run to start",
    );
    client.kill("SIGKILL");
    await client;
    // it is waited for, as after a network's fault
    await until(async () => (await rows()).length === 1, "the sandbox to go");
  });
});

describe("ssh that fails", () => {
  test("drops in the middle: no line is lost or seen twice", async () => {
    // It runs on until there is nothing more to drop.
    const script = "i=0; until [ -e /dropped ]; do i=$((i+1)); echo $i; sleep 0.1; done; exit 5";
    const { stdout } = await there(["exec", "-d", "web", "--", "sh", "-c", script]);
    const id = String(stdout).trim();
    const logged = there(["logs", "-f", "web", id]);
    const running = there(["run", "--name", "dropping", "--", "sh", "-c", script]);
    let [ofLogged, ofRunning] = [0, 0];
    logged.stdout?.on("data", (text) => {
      ofLogged += text.length;
    });
    running.stdout?.on("data", (text) => {
      ofRunning += text.length;
    });
    // A connection that drops before anything was heard is a host that can't be reached.
    await until(() => ofLogged > 0 && ofRunning > 0, "both to be heard");
    const written = async (...of: string[]) => String((await thaw(["logs", ...of])).stdout).length;
    for (let drops = 0; drops < 2; drops++) {
      const [inLog, inRun] = [await written("web", id), await written("dropping")];
      await until(() => ofLogged > inLog && ofRunning > inRun, "what was written since to be heard");
      expect(await sshd.drop()).toBeGreaterThan(0);
    }
    for (const name of ["web", "dropping"])
      expect((await thaw(["exec", name, "--", "touch", "/dropped"])).exitCode).toBe(0);
    const ended = await running;
    expect(ended.exitCode, String(ended.stderr)).toBe(5);
    for (const text of [ended.stdout, (await logged).stdout]) {
      const lines = String(text).trimEnd().split("\n").map(Number);
      expect(lines).toEqual(lines.map((_, index) => index + 1));
    }
  });

  test("is ended by the Ctrl-C that gives a command up, while it connects: 130, and the command is killed", async () => {
    const ssh = join(sshd.folder, "interrupted-ssh");
    // The first connection starts the command, the second attaches to it.
    const script = `echo >> "$0.calls"; [ $(wc -l < "$0.calls") = 2 ] && { kill -INT $PPID; kill -INT $$; }; exec ssh "$@"`;
    writeFileSync(ssh, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const interrupted = await there(["exec", "web", "--", "sleep", "602"], {
      env: { THAW_SSH: (env.THAW_SSH ?? "").replace(/^ssh/, ssh) },
    });
    expect([interrupted.exitCode, interrupted.stdout], String(interrupted.stderr)).toEqual([130, ""]);
    const isGone = async () =>
      (await thaw(["exec", "web", "--", "pgrep", "-f", "^sleep 602"])).exitCode === 1;
    await until(isGone, "the command to be killed");
  });

  test("is gone for good: said, after a while", async () => {
    await using second = await Sshd.start({ thaw: farThaw() });
    const options = { env: { ...second.env, THAW_HOME: env.THAW_HOME as string } };
    expect((await here(["context", "add", "second", second.url], options)).exitCode).toBe(0);
    const running = here(
      ["--context", "second", "exec", "web", "--", "sh", "-c", "echo on; sleep 601"],
      options,
    );
    await new Promise((resolve) => running.stdout?.once("data", resolve));
    await second.stop();
    const { exitCode, stderr } = await running;
    expect(exitCode).toBe(125);
    expect(stderr).toMatch(/ssh can't reach 127\.0\.0\.1\n.*refused[\s\S]*hint: ssh -p/);
    expect((await thaw(["exec", "web", "--", "pkill", "-f", "^sleep 601"])).exitCode).toBe(0);
  });

  test.each([
    [
      "asks for a password",
      ["PubkeyAuthentication no", "PasswordAuthentication yes"],
      /without a password[\s\S]*Permission denied[\s\S]*ssh-add/,
    ],
    [
      "answers without thaw",
      ["ForceCommand /bin/sh -c nope"],
      /ssh did not find thaw on 127\.0\.0\.1[\s\S]*npm install/,
    ],
    ["greets on stdout", ["ForceCommand echo welcome; cat"], /must print nothing/],
    [
      "finds an older thaw",
      ["ForceCommand echo \"thaw: unknown command 'stdio'\" >&2; exit 2"],
      /too old[\s\S]*unknown command/,
    ],
    [
      "says strange things",
      ["ForceCommand printf '\\033[2Jno\\n' >&2; exit 3"],
      /ended with exit code 3\n {2}\[2Jno\n/,
    ],
  ])("%s: nothing is asked, added or garbled", async (_what, config, expected) => {
    await using bad = await Sshd.start({ thaw: farThaw(), config });
    const options = { env: { ...bad.env, THAW_HOME: env.THAW_HOME as string }, timeout: 120_000 };
    const { exitCode, stderr } = await here(["context", "add", "bad", bad.url], options);
    expect(exitCode).toBe(125);
    expect(stderr).toMatch(expected);
    expect((await here(["context", "ls"], options)).stdout).not.toContain("bad");
  });

  test("does not know the host", async () => {
    await using unknown = await Sshd.start({ thaw: farThaw() });
    writeFileSync(join(unknown.folder, "known_hosts"), "");
    const { stderr } = await here(["context", "add", "x", unknown.url], { env: unknown.env });
    expect(stderr).toMatch(/does not trust the host key[\s\S]*once and compare/);
  });

  test("is not there at all", async () => {
    const { exitCode, stderr } = await there(["ls"], { env: { THAW_SSH: "/nope/ssh" } });
    expect(exitCode).toBe(125);
    expect(stderr).toMatch(/can't run \/nope\/ssh[\s\S]*openssh-client/);
  });

  test("a newer client is served, and leaves the far daemon alone", async () => {
    const newer = mkdtempSync(join(tmpdir(), "thaw-newer-"));
    try {
      cpSync("dist", newer, { recursive: true });
      const version = JSON.parse(readFileSync("dist/version.json", "utf8")) as { built: number };
      writeFileSync(
        join(newer, "version.json"),
        JSON.stringify({ ...version, digest: "another", built: version.built + 60_000 }),
      );
      const before = await daemonPid();
      const { stderr, exitCode } = await execa(
        process.execPath,
        [join(newer, "thaw.mjs"), "--context", "self", "ls"],
        { reject: false, env: { ...thawEnv(), ...env } },
      );
      expect([exitCode, stderr]).toEqual([0, ""]);
      expect(await daemonPid()).toBe(before);
    } finally {
      rmSync(newer, { recursive: true, force: true });
    }
  });
});

test("daemon stdio joins two streams: nothing else is on stdout, an end is passed on", async () => {
  const input = "GET /v1/info HTTP/1.1\r\nHost: thaw\r\n\r\n";
  const { stdout, stderr, exitCode } = await thaw(["daemon", "stdio"], { input });
  expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
  expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\{"version".*\}$/);
});

test("a thaw that is not on the far PATH is found where its daemon left it", async () => {
  await using bare = await Sshd.start({});
  const { home, socket } = findPaths({ ...process.env, ...thawEnv() });
  mkdirSync(join(bare.folder, "home/thaw"), { recursive: true });
  const launcher = `#!/bin/sh\nTHAW_HOME='${home}' THAW_SOCKET='${socket}' exec '${home}/thaw' "$@"\n`;
  writeFileSync(join(bare.folder, "home/thaw/thaw"), launcher, { mode: 0o755 });
  const options = { env: { ...bare.env, THAW_HOME: env.THAW_HOME as string } };
  const { stdout, stderr } = await here(["context", "add", "bare", bare.url], options);
  expect(stdout, String(stderr)).toMatch(/^bare: thaw/);
});

describe("ssh into a sandbox", () => {
  const entry = (): string => join(sshd.folder, "entry");
  const ssh = (args: string[], options: Options = {}) =>
    execa("ssh", ["-F", entry(), ...args], { reject: false, stripFinalNewline: false, ...options });

  beforeAll(async () => {
    const local = await thaw(["ssh-config"], { env: { THAW_CONFIG: join(sshd.folder, "config") } });
    const far = await there(["ssh-config"]);
    expect(far.stdout).toMatch(/^Host \*\.self\.thaw\n/);
    writeFileSync(entry(), `${local.stdout}${far.stdout}`);
  });

  test("a command, its streams and exit code; here and in a context", async () => {
    for (const host of ["web.thaw", "web.self.thaw"]) {
      const { stdout, stderr, exitCode } = await ssh([host, "hostname; cat; echo e >&2; exit 7"], {
        input: "in",
      });
      expect({ stdout, stderr, exitCode }).toEqual({ stdout: "web\nin", stderr: "e\n", exitCode: 7 });
    }
  });

  test("scp, sftp, another user, a terminal", async () => {
    const file = join(sshd.folder, "bytes");
    writeFileSync(file, randomBytes(1 << 20));
    await execa("scp", ["-F", entry(), file, "web.thaw:/root/bytes"]);
    await execa("scp", ["-F", entry(), "web.thaw:/root/bytes", `${file}.back`]);
    expect(readFileSync(`${file}.back`).equals(readFileSync(file))).toBe(true);
    expect((await ssh(["web.thaw", "umask"])).stdout).toMatch(/^0?022\n$/);
    const listed = await execa("sftp", ["-b", "-", "-F", entry(), "web.thaw"], { input: "ls /root\n" });
    expect(listed.stdout).toContain("/root/bytes");
    expect((await thaw(["exec", "web", "--", "useradd", "-m", "ann"])).exitCode).toBe(0);
    expect((await ssh(["ann@web.thaw", "id -un"])).stdout).toBe("ann\n");
    expect((await ssh(["-tt", "web.thaw", "tty"], { stdin: "ignore" })).stdout).toContain("/dev/pts/");
  });

  test("a new connection through an open tunnel wakes a paused sandbox", async () => {
    const server =
      "use IO::Socket::INET; $SIG{PIPE} = q(IGNORE); my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 8000, Listen => 5) or die; while (1) { my $c = $s->accept or next; print $c qq(hello\\n); close $c }";
    expect((await thaw(["exec", "-d", "web", "--", "perl", "-e", server])).exitCode).toBe(0);
    const socket = join(sshd.folder, "tunnel.sock");
    const tunnel = ssh(["-N", "-L", `${socket}:127.0.0.1:8000`, "web.thaw"]);
    const hello = (): Promise<string> => text(connect(socket));
    await until(async () => (await hello().catch(() => "")) === "hello\n", "the tunnel");
    expect((await thaw(["pause", "web"])).exitCode).toBe(0);
    expect(await hello()).toBe("hello\n");
    expect((await thawJson<SandboxRow[]>(["ls"])).find(({ name }) => name === "web")?.state).toBe("running");
    tunnel.kill("SIGKILL");
    await tunnel;
  });

  test("each machine has a host key of its own, made when it is first asked for", async () => {
    const { stdout: baked } = await thaw(["run", "--", "sh", "-c", "ls /etc/ssh /run/thaw-ssh 2>&1"]);
    expect(baked).not.toMatch(/ssh_host_|key/);
    expect((await thaw(["fork", "web", "--name", "twin"])).exitCode).toBe(0);
    const keys = [];
    for (const host of ["web.thaw", "twin-1.thaw"])
      keys.push((await ssh([host, "cat /run/thaw-ssh/*/key | sha256sum"])).stdout);
    expect(new Set(keys).size).toBe(2);
    expect((await thaw(["rm", "twin-1"])).exitCode).toBe(0);
  });

  test("without sshd, and without a sandbox: said by name", async () => {
    expect((await thaw(["create", "--name", "bare"])).exitCode).toBe(0);
    await thaw(["exec", "bare", "--", "rm", "/usr/sbin/sshd"]);
    expect((await ssh(["bare.thaw", "true"])).stderr).toMatch(
      /sandbox bare has no sshd[\s\S]*openssh-server/,
    );
    expect((await ssh(["nobody.thaw", "true"])).stderr).toContain("nobody");
    expect((await thaw(["rm", "bare"])).exitCode).toBe(0);
  });

  test("a connection that ends leaves no sshd behind", async () => {
    const client = ssh(["web.thaw", "sleep 600"]);
    const servers = async (name: string) =>
      (await thaw(["exec", "web", "--", "pgrep", "-x", name])).exitCode === 0;
    await until(() => servers("sleep"), "the command to run");
    client.kill("SIGKILL");
    await client;
    await until(async () => !(await servers("sshd")), "sshd to end");
  });
});
