import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { formatEntry, sandboxOfSshHost, sshHostOf } from "../../cli/ssh-config/entry.ts";
import { readContexts } from "../../client/contexts/config.ts";
import { chooseContext } from "../../client/contexts/find.ts";
import { parseRemote, type SshHost } from "../../client/contexts/remote.ts";
import { saveContexts } from "../../client/contexts/save.ts";
import { farCommand, sshArgv } from "../../client/ssh/argv.ts";
import { describeSshEnd } from "../../client/ssh/failure.ts";
import { LastLines } from "../../client/ssh/last-lines.ts";

describe("a context's URL", () => {
  test.each([
    ["ssh://ci-3", { host: "ci-3", user: undefined, port: undefined }],
    ["ssh://ann@ci-3.example.com:2222", { host: "ci-3.example.com", user: "ann", port: 2222 }],
    ["ssh://root@[::1]:22/", { host: "::1", user: "root", port: 22 }],
  ])("%s", (url, expected) => {
    expect(parseRemote("x", url)).toMatchObject(expected);
  });

  test.each([
    "ci-3",
    "http://ci-3",
    "ssh://",
    "ssh://-oProxyCommand=id",
    "ssh://-l@host",
    "ssh://a b",
    "ssh://host%20x",
    "ssh://host;id",
    "ssh://$(id)@host",
    "ssh://ann:secret@host",
    "ssh://host:0",
    "ssh://host:65536",
    "ssh://host/path",
    "ssh://host\n",
    `ssh://${"a".repeat(300)}`,
  ])("%j is refused, without its password", (url) => {
    expect(() => parseRemote("x", url)).toThrow(
      expect.objectContaining({ code: "usage", message: expect.not.stringContaining("secret") }),
    );
  });

  test.each(["", "-x", "Upper", "a.b", "a/b", "x".repeat(41)])("%j can't name one", (name) => {
    expect(() => parseRemote(name, "ssh://host")).toThrow(/is not a valid context name/);
  });

  test.each(["", "a\nb", "x".repeat(1025)])("%j can't be how thaw is called", (thaw) => {
    expect(() => parseRemote("x", "ssh://host", { thaw })).toThrow(/how thaw is called/);
  });
});

const parseSsh = (url: string, thaw?: string): SshHost => parseRemote("ci-3", url, { thaw }) as SshHost;

describe("the URL of a listener", () => {
  const tokenFile = "/home/ann/token";
  test.each([
    ["https://ci-4.example.com", { by: "https", host: "ci-4.example.com", port: 443 }],
    ["https://ci-4:7878/", { by: "https", host: "ci-4", port: 7878 }],
    ["https://[2001:db8::1]:7878", { by: "https", host: "2001:db8::1", port: 7878 }],
    ["http://127.0.0.1:7878", { by: "http", host: "127.0.0.1", port: 7878 }],
    ["http://localhost:7878", { by: "http", host: "localhost", port: 7878 }],
  ])("%s", (url, found) => {
    expect(parseRemote("x", url, { tokenFile })).toMatchObject({ url, tokenFile, ...found });
  });

  test.each([
    ["https://ci-4", {}, /--token-file FILE/],
    ["http://ci-4:7878", { tokenFile }, /for this machine/],
    ["http://127.0.0.1.example.com", { tokenFile }, /for this machine/],
    ["https://ann:secret@ci-4", { tokenFile }, /without a user/],
    ["https://ci-4/thaw", { tokenFile }, /without a user and a path/],
    ["https://ci-4?x", { tokenFile }, /without a user and a path/],
    ["https://ci-4", { tokenFile, thaw: "thaw" }, /--thaw is for ssh/],
    ["https://ci-4", { tokenFile: "token" }, /ann/],
    ["ssh://ci-4", { tokenFile }, /for https/],
  ])("%s with %j is refused", (url, settings, hint) => {
    expect(() => parseRemote("x", url, settings)).toThrow(
      expect.objectContaining({
        ...{ code: "usage", hint: expect.stringMatching(hint) },
        message: expect.not.stringContaining("secret"),
      }),
    );
  });
});

describe("ssh's arguments", () => {
  test("options, then --, then the host: nothing is asked, connections are shared", () => {
    const argv = sshArgv(parseSsh("ssh://ann@ci-3:2222"), {
      ssh: "ssh  -F /tmp/config",
      controlFolder: "/run/100%/thaw",
    });
    expect(argv.slice(0, 6)).toEqual(["ssh", "-F", "/tmp/config", "-T", "-o", "BatchMode=yes"]);
    expect(argv).toContain("ControlPath=/run/100%%/thaw/ssh-%C");
    expect(argv.slice(-7, -1)).toEqual(["-p", "2222", "-l", "ann", "--", "ci-3"]);
  });

  test("a folder whose path leaves no room for a socket's is not used", () => {
    const argv = sshArgv(parseSsh("ssh://h"), { controlFolder: `/${"f".repeat(45)}` });
    expect(argv.join(" ")).not.toContain("Control");
  });

  test("the far command is one word for any shell", () => {
    const run = (thaw?: string): string =>
      execFileSync("/bin/sh", ["-c", farCommand(parseSsh("ssh://h", thaw))], {
        encoding: "utf8",
        env: { PATH: "/nowhere", HOME: "/nowhere" },
        stdio: ["ignore", "pipe", "ignore"],
      });
    expect(run('/bin/echo "it\'s"')).toBe("it's daemon stdio\n");
    expect(() => run()).toThrow(expect.objectContaining({ status: 127 }));
  });
});

describe("the file of contexts", () => {
  let folder: string;
  let env: Record<string, string>;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "thaw-contexts-"));
    env = { THAW_CONFIG: join(folder, "config") };
    process.env.THAW_CONFIG = env.THAW_CONFIG;
  });
  afterEach(() => {
    delete process.env.THAW_CONFIG;
    rmSync(folder, { recursive: true, force: true });
  });

  test("what is written is read; it is the user's own; a word overrules what is in use", async () => {
    expect(chooseContext(env)).toEqual({ name: "local", remote: undefined, by: "default" });
    expect(existsSync(join(folder, "config"))).toBe(false);
    const remote = parseRemote("ci-3", "ssh://ann@ci-3", { thaw: "/opt/thaw" });
    await saveContexts({ current: "ci-3", remotes: new Map([["ci-3", remote]]) });
    expect(statSync(join(folder, "config/contexts.json")).mode & 0o777).toBe(0o600);
    expect(readContexts(env).remotes.get("ci-3")).toEqual(remote);
    expect(chooseContext(env)).toMatchObject({ name: "ci-3", by: "thaw context use" });
    const listening = parseRemote("ci-4", "https://ci-4", { tokenFile: "/t", caFile: "/ca" });
    await saveContexts({
      current: "ci-3",
      remotes: new Map([
        ["ci-3", remote],
        ["ci-4", listening],
      ]),
    });
    expect(readContexts(env).remotes.get("ci-4")).toEqual(listening);
    await saveContexts({ current: "ci-3", remotes: new Map([["ci-3", remote]]) });
    expect(chooseContext({ ...env, THAW_CONTEXT: "local" }).remote).toBeUndefined();
    expect(() => chooseContext({ ...env, THAW_CONTEXT: "ci-4" })).toThrow(
      expect.objectContaining({ code: "not-found", details: ["local", "ci-3"] }),
    );
  });

  test.each([
    "{",
    "[]x",
    "null",
    '{"contexts":{"x":null}}',
    '{"contexts":{"x":{"url":"ssh://-o"}}}',
    '{"contexts":{"../x":{"url":"ssh://h"}}}',
  ])("%s is refused by the file's name; local works without it", (text) => {
    mkdirSync(join(folder, "config"));
    writeFileSync(join(folder, "config/contexts.json"), text);
    expect(() => chooseContext(env)).toThrow(/can't read the contexts in .*contexts\.json/);
    expect(chooseContext({ ...env, THAW_CONTEXT: "local" }).name).toBe("local");
  });
});

describe("an ssh that ended", () => {
  const remote = parseSsh("ssh://ann@ci-3:2222");
  const end = { remote, code: 255, signal: null, answered: false, lines: ["said"] };
  test.each([
    [
      { lines: ["ann@ci-3: Permission denied (publickey)."] },
      "host-not-ready",
      /ssh-add.*"ssh -p 2222 ann@ci-3 true"/,
    ],
    [{ lines: ["Host key verification failed."] }, "host-not-ready", /once and compare/],
    [{ lines: ["Connection refused"] }, "daemon-unreachable", /^ssh -p 2222 ann@ci-3 true/],
    [{ code: 127 }, "host-not-ready", /thaw context add ci-3 ssh:\/\/ann@ci-3:2222 --force --thaw/],
    [{ code: 2 }, "daemon-mismatch", /update it there/],
    [{ code: 125 }, "daemon-unreachable", /thaw daemon status/],
    [{ answered: true }, "daemon-unreachable", /thaw --context ci-3 ls/],
  ])("%j", (how, code, hint) => {
    const error = describeSshEnd({ ...end, ...how });
    expect(error).toMatchObject({ code, hint: expect.stringMatching(hint) });
    expect(error.details).toEqual("lines" in how ? how.lines : ["said"]);
  });

  test("what it says is bounded and harmless", () => {
    const said = new LastLines();
    for (let i = 0; i < 1000; i++) said.push(Buffer.from(`\u001b[2J${i} ${"x".repeat(500)}\r\n`));
    expect(said.lines).toHaveLength(12);
    expect(said.lines.at(-1)).toBe(`[2J999 ${"x".repeat(500)}`.slice(0, 300));
  });
});

describe("an entry for ssh", () => {
  const options = {
    identityFile: "/c/100%/id",
    thaw: ["/n/node", "/a b/it's.mjs"],
    env: { THAW_HOME: "/h" },
  };
  test("for every sandbox of a context", () => {
    const entry = formatEntry({ ...options, sandbox: undefined, context: "ci-3" });
    expect(entry).toMatch(/^Host \*\.ci-3\.thaw\n {2}User root\n/);
    expect(entry).toContain(
      `  ProxyCommand env THAW_HOME=/h /n/node '/a b/it'\\''s.mjs' --context ci-3 ssh-proxy -- '%n'\n`,
    );
    expect(entry).toContain('  IdentityFile "/c/100%%/id"\n');
    expect(formatEntry({ ...options, sandbox: undefined, context: "local" })).toMatch(
      /^Host \*\.thaw !\*\.\*\.thaw\n/,
    );
  });

  test("for one sandbox", () => {
    expect(formatEntry({ ...options, sandbox: "web", context: "local" })).toMatch(
      /^Host web\.thaw\n[\s\S]* -- web\n/,
    );
  });

  test.each([
    ["web", "local"],
    ["web", "ci-3"],
  ])("%s in %s, there and back", (sandbox, context) => {
    expect(sandboxOfSshHost(sshHostOf(sandbox, context))).toBe(sandbox);
    expect(sandboxOfSshHost(sandbox)).toBe(sandbox);
  });
});
