import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formatSize } from "../../cli/format/size.ts";
import { alteringProxy, type Registry, type SpoilingProxy, startRegistry } from "../helpers/registry.ts";
import { rewrite } from "../helpers/rewrite-archive.ts";
import { tarOf, untar } from "../helpers/tar.ts";
import { testHome } from "../helpers/test-home.ts";
import { thaw, until } from "../helpers/thaw.ts";

/** A host of its own: it has never seen what is pulled. */
interface Host {
  home: string;
  thaw: (args: string[], env?: Record<string, string>) => ReturnType<typeof thaw>;
  run: (...args: string[]) => Promise<string>;
}

let folder: string;
let registry: Registry;
let capture: string;
let base: string;
const hosts: Host[] = [];
const login: Record<string, string> = {};

async function newHost(): Promise<Host> {
  const home = await mkdtemp(join(tmpdir(), "thaw-far-"));
  // What it took to prove of the machine that all of them are.
  await copyFile(join(testHome(), "host.json"), join(home, "host.json")).catch(() => {});
  const call: Host["thaw"] = (args, env = {}) => thaw(args, { env: { THAW_HOME: home, ...login, ...env } });
  const run = async (...args: string[]): Promise<string> => {
    const { stdout, stderr, exitCode } = await call(args);
    expect(exitCode, `thaw ${args.join(" ")}: ${stderr}`).toBe(0);
    return String(stdout).trim();
  };
  const host = { home, thaw: call, run };
  hosts.push(host);
  return host;
}

async function run(...args: string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await thaw(args, { env: login });
  expect(exitCode, `thaw ${args.join(" ")}: ${stderr}`).toBe(0);
  return String(stdout).trim();
}

/** Nothing of it is there, not even half. */
async function expectNothing(host: Host): Promise<void> {
  for (const name of ["captures", "snapshots"])
    expect(await readdir(join(host.home, name)).catch(() => [])).toEqual([]);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "thaw-stores-"));
  registry = await startRegistry(join(folder, "registry"));
  login.REGISTRY_AUTH_FILE = registry.authFile;
  const ran = await thaw([
    "run",
    "--capture",
    "on-failure",
    "--",
    "sh",
    "-c",
    "echo x > /tmp/evidence; (sleep 1000 >/dev/null 2>&1 &) ; exit 3",
  ]);
  expect(ran.exitCode, String(ran.stderr)).toBe(3);
  const { id, base: of } = JSON.parse(await run("capture", "show", "latest", "--json")) as {
    id: string;
    base: { snapshot: string };
  };
  capture = id;
  base = of.snapshot;
  const pushed = JSON.parse(await run("capture", "push", capture, `oci:${registry.host}/failures`, "--json"));
  expect(pushed.sentBytes).toBeGreaterThan(10 << 20);
});

afterAll(async () => {
  for (const { home, thaw: call } of hosts) {
    await call(["rm", "--all"]);
    await call(["daemon", "stop"]);
    await rm(home, { recursive: true, force: true });
  }
  await registry?.stop();
  await rm(folder, { recursive: true, force: true });
});

describe("a registry", () => {
  test("login keeps what the registry takes, and nothing else; logout forgets it", async () => {
    const path = join(folder, "login.json");
    const env = { REGISTRY_AUTH_FILE: path };
    const logIn = (input: string) =>
      thaw(["login", registry.host, "-u", "thaw", "--password-stdin"], { env, input });
    const pull = async () =>
      String((await thaw(["snapshot", "pull", `oci:${registry.host}/nothing:1`], { env })).stderr);
    const wrong = await logIn("wrong\n");
    expect(wrong.exitCode).toBe(125);
    expect(wrong.stderr).toContain(`${registry.host} does not take this user and password`);
    await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
    expect(await pull()).toContain(`hint: thaw login ${registry.host}`);
    expect(await logIn("secret\n")).toMatchObject({
      ...{ exitCode: 0, stderr: "" },
      stdout: `${registry.host}: logged in as thaw; kept in ${path}\n`,
    });
    expect(await pull()).not.toContain("hint: thaw login");
    expect((await thaw(["logout", registry.host], { env })).stdout).toBe(
      `${registry.host}: logged out; forgotten in ${path}\n`,
    );
    expect(await pull()).toContain(`hint: thaw login ${registry.host}`);
    const asked = thaw(["login", registry.host, "-u", "thaw", "--password-stdin"], { env, stdin: "pipe" });
    await sleep(800);
    asked.kill("SIGINT");
    const ended = await asked;
    expect(ended.signal ?? ended.exitCode).toSatisfy((how) => how === 130 || how === "SIGINT");
  });

  test("what is pushed is replayed by a host that never saw it; the base travels once", async () => {
    const reference = await run("capture", "push", capture, `oci:${registry.host}/failures`);
    expect(reference).toBe(`oci:${registry.host}/failures:${capture}`);
    const again = JSON.parse(
      await run("capture", "push", capture, `oci:${registry.host}/failures`, "--json"),
    );
    expect(again.sentBytes).toBe(0);
    const far = await newHost();
    const check = JSON.parse(await far.run("capture", "check", reference, "--json"));
    expect(check.best).toBe("memory");
    expect(check.downloadBytes).toBeGreaterThan(10 << 20);
    await expectNothing(far);
    const replayed = await far.thaw([
      "replay",
      reference,
      "--",
      "sh",
      "-c",
      "cat /tmp/evidence; pgrep -a sleep",
    ]);
    expect(String(replayed.stdout)).toMatch(/^x\n\d+ sleep 1000\n$/);
    expect(String(replayed.stderr)).toContain(`fetched from oci:${registry.host}/failures`);
    expect(JSON.parse(await far.run("capture", "check", reference, "--json")).downloadBytes).toBe(0);
    const verified = JSON.parse(await far.run("capture", "verify", capture, "--json"));
    expect(verified.ok).toBe(true);
    // A template of that name is built here, whatever the imported snapshot says it was made from.
    const templates = JSON.parse(await far.run("template", "ls", "--json")) as {
      name: string;
      snapshot: string | null;
    }[];
    expect(templates.find(({ name }) => name === "base")?.snapshot).toBeNull();
  });

  test("a snapshot under a tag of its own; an unknown tag names those there are", async () => {
    const to = `oci:${registry.host}/templates:base-1`;
    const pushed = await thaw(["snapshot", "push", "base", to], { env: login });
    expect(pushed.stderr).toMatch(/to send: .* sent/s);
    const again = await thaw(["snapshot", "push", "-q", "base", to], { env: login });
    expect([again.stdout, again.stderr]).toEqual([`${to}\n`, ""]);
    const far = await newHost();
    expect(
      await far.run("snapshot", "pull", `oci:${registry.host}/templates:base-1`, "--tag", "mine:1"),
    ).toBe("mine:1");
    expect(await far.run("run", "--snapshot", "mine:1", "--", "echo", "hello")).toBe("hello");
    const unknown = await far.thaw(["snapshot", "pull", `oci:${registry.host}/templates:nope`]);
    expect(unknown.exitCode).toBe(2);
    expect(String(unknown.stderr)).toContain("it has base-1");
    const wrongKind = await far.thaw(["capture", "pull", `oci:${registry.host}/templates:base-1`]);
    expect(String(wrongKind.stderr)).toContain("is a snapshot, not a capture");
  });

  test("one that is down, silent, or denies says so", async () => {
    const far = await newHost();
    const down = await far.thaw(["capture", "pull", "oci:127.0.0.1:1/failures:x"]);
    expect([down.exitCode, String(down.stderr)]).toEqual([
      125,
      expect.stringContaining("nobody listens there"),
    ]);
    const denied = await far.thaw(["capture", "pull", `oci:${registry.host}/failures:${capture}`], {
      REGISTRY_AUTH_FILE: "/dev/null/none",
    });
    expect(String(denied.stderr)).toMatch(/user and password|can't read the credentials/);
    const nobody = join(folder, "nobody.json");
    await writeFile(
      nobody,
      JSON.stringify({ auths: { [registry.host]: { auth: Buffer.from("thaw:wrong").toString("base64") } } }),
    );
    const wrong = await far.thaw(["capture", "pull", `oci:${registry.host}/failures:${capture}`], {
      REGISTRY_AUTH_FILE: nobody,
    });
    expect([wrong.exitCode, String(wrong.stderr)]).toEqual([
      125,
      expect.stringContaining(`thaw login ${registry.host}`),
    ]);
    const silent = await alteringProxy(registry.host, { silent: true });
    const slow = await far.thaw(["capture", "pull", `oci:${silent.host}/failures:${capture}`], {
      THAW_STORE_TIMEOUT: "1",
    });
    expect(String(slow.stderr)).toContain("it went silent");
    await silent.stop();
    await expectNothing(far);
  });

  test("a wrong blob is refused; a broken one is gone on with; the next try works", async () => {
    const far = await newHost();
    const at = (proxy: SpoilingProxy): string => `oci:${proxy.host}/failures:${capture}`;
    const auth = async (proxy: SpoilingProxy): Promise<Record<string, string>> => {
      const path = join(folder, `auth-${proxy.host.replace(":", "-")}.json`);
      await writeFile(path, JSON.stringify({ auths: { [proxy.host]: { auth: registry.auth } } }));
      return { REGISTRY_AUTH_FILE: path };
    };
    const altering = await alteringProxy(registry.host, { alterAbove: 1 << 20 });
    const altered = await far.thaw(["capture", "pull", at(altering)], await auth(altering));
    expect([altered.exitCode, String(altered.stderr)]).toEqual([
      125,
      expect.stringContaining("does not match its digest"),
    ]);
    await altering.stop();
    await expectNothing(far);
    const breaking = await alteringProxy(registry.host, { breakAfter: 5 << 20 });
    const broken = await far.thaw(["capture", "pull", at(breaking)], await auth(breaking));
    expect(broken.exitCode, String(broken.stderr)).toBe(125);
    expect(String(broken.stderr)).toContain("broken off");
    expect(breaking.ranges.some((range) => /^bytes=[1-9]/.test(range))).toBe(true);
    await breaking.stop();
    await expectNothing(far);
    const rest = JSON.parse(
      await far.run("capture", "pull", `oci:${registry.host}/failures:${capture}`, "--json"),
    );
    expect(rest.fetchedBytes).toBeLessThan(
      JSON.parse(await far.run("capture", "check", capture, "--json")).levels[0].bytes + (70 << 20),
    );
    expect(await far.run("replay", capture, "--", "cat", "/tmp/evidence")).toBe("x");
    expect(await readdir(join(far.home, "imports"))).toEqual([]);
  });

  test("a token service is asked for a token", async () => {
    const bearer = await alteringProxy(registry.host, { bearer: registry.auth });
    const path = join(folder, "bearer.json");
    await writeFile(path, JSON.stringify({ auths: { [bearer.host]: { auth: registry.auth } } }));
    const far = await newHost();
    const pulled = await far.thaw(["capture", "check", `oci:${bearer.host}/failures:${capture}`], {
      REGISTRY_AUTH_FILE: path,
    });
    expect(pulled.exitCode, String(pulled.stderr)).toBe(0);
    expect(bearer.scopes).toContain("repository:failures:pull");
    await bearer.stop();
  });

  test("an interrupted pull leaves nothing half stored and goes on", async () => {
    const far = await newHost();
    const slow = await alteringProxy(registry.host, { bytesPerSecond: 4 << 20 });
    const path = join(folder, "slow.json");
    await writeFile(path, JSON.stringify({ auths: { [slow.host]: { auth: registry.auth } } }));
    await far.run("daemon", "start");
    const pulling = far.thaw(["capture", "pull", `oci:${slow.host}/failures:${capture}`], {
      REGISTRY_AUTH_FILE: path,
    });
    const received = async (): Promise<number> => {
      const [key = ""] = await readdir(join(far.home, "imports"));
      const names = [".memory.zst", "memory.zst"].map((name) => join(far.home, "imports", key, name));
      const found = await Promise.all(names.map((name) => stat(name).catch(() => null)));
      return found.reduce((sum, one) => sum + (one?.size ?? 0), 0);
    };
    await Promise.race([
      until(async () => (await received()) > 2 << 20, "some of it to come"),
      pulling.then(({ stderr }) => expect.fail(`it ended: ${stderr}`)),
    ]);
    pulling.kill("SIGINT");
    expect((await pulling).exitCode).toBe(130);
    await expectNothing(far);
    const before = slow.served;
    const kept = await received();
    const rest = await far.thaw(["capture", "pull", `oci:${slow.host}/failures:${capture}`], {
      REGISTRY_AUTH_FILE: path,
    });
    expect(rest.exitCode, String(rest.stderr)).toBe(0);
    expect(slow.ranges.some((range) => /^bytes=[1-9]/.test(range))).toBe(true);
    process.stdout.write(`pull: ${kept} bytes kept, ${slow.served - before} fetched after\n`);
    await slow.stop();
    expect(await far.run("replay", capture, "--", "cat", "/tmp/evidence")).toBe("x");
  });
});

describe("a folder and a file", () => {
  test("a folder: pushed twice, pulled", async () => {
    const dir = join(folder, "layout");
    await run("capture", "push", capture, `dir:${dir}`);
    expect(JSON.parse(await run("capture", "push", capture, dir, "--json")).sentBytes).toBe(0);
    const far = await newHost();
    expect(await far.run("replay", dir, "--", "cat", "/tmp/evidence")).toBe("x");
  });

  test("a file, whole: a capture made a snapshot of its own resumes too", async () => {
    const file = join(folder, "whole.thaw");
    await run("capture", "export", capture, file, "--full");
    const far = await newHost();
    const id = await far.run("capture", "import", file);
    expect(id).toBe(`${capture}full`);
    expect(
      await far.run(
        "replay",
        id,
        "--",
        "sh",
        "-c",
        "cat /tmp/evidence; pgrep sleep >/dev/null && echo alive",
      ),
    ).toBe("x\nalive");
    const twice = await thaw(["capture", "export", capture, file]);
    expect([twice.exitCode, String(twice.stderr)]).toEqual([2, expect.stringContaining("is there already")]);
  });

  test("encrypted to age recipients: no case, no memory is readable; without a key it is refused", async () => {
    const identity = await generateIdentity();
    const keys = join(folder, "identity.txt");
    await writeFile(keys, `# created by a test\n${identity}\n`);
    const reference = `oci:${registry.host}/sealed`;
    const recipient = await identityToRecipient(identity);
    await run("capture", "push", capture, reference, "--encrypt-to", recipient);
    const again = JSON.parse(
      await run("capture", "push", capture, reference, "--encrypt-to", recipient, "--json"),
    );
    expect([again.sentBytes, again.encrypted]).toEqual([0, true]);
    const far = await newHost();
    const pull = ["capture", "pull", `${reference}:${capture}`];
    const without = await far.thaw(pull, { XDG_CONFIG_HOME: folder });
    expect([without.exitCode, String(without.stderr)]).toEqual([
      2,
      expect.stringContaining("the identity file can't be read"),
    ]);
    const other = join(folder, "other.txt");
    await writeFile(other, `${await generateIdentity()}\n`);
    const wrong = await far.thaw([...pull, "--identity", other]);
    expect([wrong.exitCode, String(wrong.stderr)]).toEqual([
      125,
      expect.stringContaining("not encrypted to the key"),
    ]);
    expect((await far.thaw(["capture", "check", `${reference}:${capture}`])).exitCode).toBe(0);
    expect(
      await far.run("replay", `${reference}:${capture}`, "--identity", keys, "--", "cat", "/tmp/evidence"),
    ).toBe("x");
    // By policy, to a folder: what lies there are age files.
    const config = join(folder, "config");
    await mkdir(join(config, "thaw"), { recursive: true });
    const dir = join(folder, "sealed");
    await writeFile(
      join(config, "thaw", "stores.yaml"),
      `stores:\n  - store: dir:${dir}\n    encryptTo: [${recipient}]\n`,
    );
    const pushed = await thaw(["capture", "push", capture, dir], { env: { XDG_CONFIG_HOME: config } });
    expect(String(pushed.stderr)).toContain("encrypted");
    const blobs = await readdir(join(dir, "blobs", "sha256"));
    const heads = await Promise.all(
      blobs.map(async (name) =>
        (await readFile(join(dir, "blobs", "sha256", name))).subarray(0, 21).toString("latin1"),
      ),
    );
    expect(
      heads.filter((head) => !head.startsWith("{")).every((head) => head === "age-encryption.org/v1"),
    ).toBe(true);
    const readable = (
      await Promise.all(blobs.map((name) => readFile(join(dir, "blobs", "sha256", name), "latin1")))
    ).filter((text) => text.startsWith("{"));
    expect(readable.join()).not.toContain("evidence");
  });
});

describe("hostile archives", () => {
  let entries: Map<string, Buffer>;
  let far: Host;
  beforeAll(async () => {
    const file = join(folder, "good.thaw");
    await run("capture", "export", capture, file);
    entries = await untar(file);
    far = await newHost();
  });
  /** Imports an archive of these entries, and expects it to be refused and nothing to be left. */
  async function refused(
    of: Iterable<[string, Buffer, string?]>,
    why: RegExp,
    kind = "capture",
  ): Promise<void> {
    const file = join(folder, "bad.thaw");
    await writeFile(file, tarOf(of));
    const { exitCode, stderr } = await far.thaw([kind, "import", file]);
    expect(exitCode, String(stderr)).not.toBe(0);
    expect(String(stderr)).toMatch(why);
    expect(String(stderr)).not.toMatch(/internal|TypeError/);
    expect(await readdir(join(far.home, "captures")).catch(() => [])).toEqual([]);
  }

  test("names that do not belong there, links, truncation, garbage", async () => {
    await refused([...entries, ["/etc/passwd", Buffer.from("x")]], /does not belong there/);
    await refused([...entries, ["../../x", Buffer.from("x")]], /does not belong there/);
    await refused([...entries, ["blobs/sha256/link", Buffer.alloc(0), "2"]], /does not belong there/);
    await refused(
      [...entries].filter(([name]) => name !== "index.json"),
      /no index\.json/,
    );
    const file = join(folder, "cut.thaw");
    await writeFile(file, tarOf(entries).subarray(0, 3 << 20));
    expect(String((await far.thaw(["capture", "import", file])).stderr)).toMatch(/cut off/);
    await writeFile(file, Buffer.alloc(4096, "thaw"));
    expect(String((await far.thaw(["capture", "import", file])).stderr)).toMatch(/checksum/);
  });

  test("a blob that is another; an altered manifest", async () => {
    const largest = [...entries].sort(([, a], [, b]) => b.length - a.length)[0]?.[0] ?? "";
    const altered = Buffer.from(entries.get(largest) ?? "");
    altered[altered.length >> 1] = (altered[altered.length >> 1] ?? 0) ^ 1;
    await refused(new Map(entries).set(largest, altered), /does not match its digest/);
    expect(await readdir(join(far.home, "snapshots"))).toEqual([]);
  });

  test("a manifest of a bomb, of other files, of another base; a disk with a backing file", async () => {
    await refused(
      rewrite(entries, "snapshot", { memory: { sizeBytes: 2 ** 40 } }),
      /times its size/,
      "snapshot",
    );
    await refused(
      rewrite(entries, "snapshot", { memory: { name: "../../../etc/shadow" } }),
      /none of a snapshot/,
      "snapshot",
    );
    await refused(rewrite(entries, "capture", { base: "f".repeat(64) }), /is not snapshot/);
    expect(await readdir(join(far.home, "snapshots"))).toEqual([]);
    await refused(rewrite(entries, "capture", { leftOut: true }), /memory was left out, and has pages/);
    await refused(rewrite(entries, "capture", { layer: "backing" }), /names a backing file/);
    await refused(rewrite(entries, "capture", { layer: "data-file" }), /names an external data file/);
  });

  test("the good one after all", async () => {
    expect(await far.run("capture", "import", join(folder, "good.thaw"))).toBe(capture);
    expect(JSON.parse(await far.run("snapshot", "ls", "--json")).map(({ id }: { id: string }) => id)).toEqual(
      [base],
    );
  });
});

test("a snapshot made under another accelerator is booted from its disk, once", async () => {
  const file = join(folder, "base.thaw");
  await run("snapshot", "export", base, file);
  const other = join(folder, "kvm.thaw");
  await writeFile(other, tarOf(rewrite(await untar(file), "snapshot", { accelerator: "kvm" })));
  const far = await newHost();
  await cp(join(testHome(), "kernels"), join(far.home, "kernels"), { recursive: true });
  const id = await far.run("snapshot", "import", other);
  const first = await far.thaw(["run", "--snapshot", id, "--", "echo", "up"]);
  expect([first.exitCode, String(first.stdout)], String(first.stderr)).toEqual([0, "up\n"]);
  expect(String(first.stderr)).toContain("so its disk is booted");
  const second = await far.thaw(["run", "--snapshot", id, "--", "echo", "up"]);
  expect(String(second.stderr)).not.toContain("booted");
});

describe("what leaves", () => {
  const wire = (): string => join(testHome(), "wire");

  test("has one size, said before it is sent; a base is compressed once for all its captures", async () => {
    const ran = await thaw([
      "run",
      "--capture",
      "on-failure",
      "--",
      "sh",
      "-c",
      "echo y > /tmp/other; exit 4",
    ]);
    expect(String(ran.stderr)).toMatch(/frozen as fail-\w{6} \(being stored\) · replay/);
    const second = JSON.parse(await run("capture", "show", "latest", "--json")) as {
      id: string;
      storedBytes: number;
    };
    const size = formatSize(second.storedBytes);
    expect(await run("capture", "show", second.id)).toMatch(new RegExp(`stored +${size}`));
    expect(await run("capture", "ls")).toMatch(new RegExp(`${second.id.replace("fail-", "")}.* ${size} `));
    // The base went with the first capture, when that was pushed.
    const kept = await readdir(wire());
    expect(kept.length).toBeGreaterThan(0);
    const exported = async (name: string): Promise<string> => {
      const { exitCode, stderr } = await thaw(["capture", "export", second.id, join(folder, name)]);
      expect(exitCode, String(stderr)).toBe(0);
      return String(stderr);
    };
    const told = await exported("second.thaw");
    expect(told).toMatch(
      new RegExp(`^thaw: to send: .*\\(${size} of ${second.id}, .* of its base ${base}\\)`, "m"),
    );
    expect(told).not.toContain("compress");
    expect(await readdir(wire())).toEqual(kept);
    // A file that was altered is not sent, and one that is gone is made again.
    const { parts } = JSON.parse(await run("snapshot", "inspect", base, "--json")) as {
      parts: { name: string; sha256: string }[];
    };
    const keptPart = (name: string): string =>
      join(wire(), `${parts.find((part) => part.name === name)?.sha256}.zst`);
    await writeFile(keptPart("memory"), "not what it was");
    await rm(keptPart("disk.qcow2"));
    const again = await exported("third.thaw");
    for (const name of ["memory", "disk.qcow2"]) expect(again).toContain(`compress ${name}`);
    expect(again).not.toContain("compress devices");
    const far = await newHost();
    expect(await far.run("capture", "import", join(folder, "third.thaw"))).toBe(second.id);
  });

  test("is looked through for secrets, with a base that was frozen from a sandbox", async () => {
    await run("create", "--name", "leaky");
    await run("exec", "leaky", "--", "sh", "-c", `printf 'ghp_%s' ${"a1B2".repeat(9)} > /root/token; sync`);
    await run("freeze", "leaky", "leaky:1");
    await run("rm", "leaky");
    expect(
      (await thaw(["run", "--snapshot", "leaky:1", "--capture", "on-failure", "--", "false"])).exitCode,
    ).toBe(1);
    const to = `oci:${registry.host}/leaky`;
    for (const flags of [[], ["--disk-only"]]) {
      const { exitCode, stderr } = await thaw(["capture", "push", "latest", to, ...flags], { env: login });
      expect([exitCode, String(stderr)]).toEqual([125, expect.stringMatching(/in the base's (memory|disk)/)]);
    }
    expect(String((await thaw(["capture", "pull", to], { env: login })).stderr)).toContain("no capture");
  });
});
