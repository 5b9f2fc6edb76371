import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { tarHeader } from "../../client/stores/ustar.ts";
import { findMissingAttributes, setAttribute } from "../helpers/attributes.ts";
import { fileInTar, tarOf } from "../helpers/tar.ts";
import { thaw, thawJson, until } from "../helpers/thaw.ts";
import { Terminal } from "../helpers/tmux.ts";

let dir: string;
beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  expect((await thaw(["create", "--name", "web"])).exitCode).toBe(0);
  dir = mkdtempSync(join(tmpdir(), "thaw-cp-"));
});
afterAll(async () => {
  rmSync(dir, { recursive: true, force: true });
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});
beforeEach(async () => {
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir);
  await guest("rm -rf /t && mkdir /t");
});

async function guest(script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await thaw(["exec", "web", "--", "sh", "-c", script]);
  expect(exitCode, String(stderr)).toBe(0);
  return String(stdout);
}
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
async function copied(...args: string[]): Promise<void> {
  const { exitCode, stdout, stderr } = await thaw(["cp", ...args]);
  expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: "", stderr: "" });
}
const mkfifo = (path: string): Buffer => execFileSync("mkfifo", [path]);
const at = (...parts: string[]): string => join(dir, ...parts);

describe("files", () => {
  test("there and back: bytes, mode and time; into a folder or under a name", async () => {
    const bytes = randomBytes(30_000_000);
    writeFileSync(at("big"), bytes, { mode: 0o750 });
    utimesSync(at("big"), 1_000_000_000, 1_000_000_000);
    await copied(at("big"), "web:/t");
    await copied(at("big"), "web:/t/renamed");
    const sums = await guest("cd /t; sha256sum big renamed | cut -c1-64; stat -c '%a %Y %U' big renamed");
    expect(sums).toBe(`${`${sha256(bytes)}\n`.repeat(2)}${"750 1000000000 root\n".repeat(2)}`);
    await copied("web:/t/renamed", dir);
    await copied("web:/t/big", at("again"));
    for (const name of ["renamed", "again"]) {
      expect(sha256(readFileSync(at(name)))).toBe(sha256(bytes));
      expect(statSync(at(name)).mode & 0o7777).toBe(0o750);
      expect(statSync(at(name)).mtimeMs).toBe(1_000_000_000_000);
    }
    expect(readdirSync(dir).sort()).toEqual(["again", "big", "renamed"]);
  });

  test("holes stay holes, both ways", async () => {
    writeFileSync(at("sparse"), "start");
    truncateSync(at("sparse"), 200 << 20);
    await copied(at("sparse"), "web:/t/sparse");
    expect(await guest("stat -c %s /t/sparse; [ $(stat -c %b /t/sparse) -lt 1000 ] && echo holes")).toBe(
      `${200 << 20}\nholes\n`,
    );
    await copied("web:/t/sparse", at("back"));
    expect(statSync(at("back")).size).toBe(200 << 20);
    expect(statSync(at("back")).blocks).toBeLessThan(1000);
  });

  test("--user owns what is copied in", async () => {
    writeFileSync(at("file"), "x");
    await copied("--user", "nobody", at("file"), "web:/t/a");
    const input = execFileSync("tar", ["-C", dir, "--transform", "s/file/b/", "-c", "file"]);
    expect(await thaw(["cp", "-u", "nobody", "-", "web:/t"], { input })).toMatchObject({ exitCode: 0 });
    mkdirSync(at("folder"));
    await copied("-u", "nobody", at("folder"), "web:/t");
    expect(await guest("stat -c %U /t/a /t/b /t/folder")).toBe("nobody\n".repeat(3));
  });

  test("a link given by name is followed, there and here", async () => {
    writeFileSync(at("real"), "here");
    symlinkSync("real", at("link"));
    await copied(at("link"), "web:/t/from-link");
    await guest("cd /t; echo there > real; ln -s real link; ln -s loop loop");
    await copied("web:/t/link", at("out"));
    expect(await guest("cat /t/from-link")).toBe("here");
    expect(readFileSync(at("out"), "utf8")).toBe("there\n");
    expect(lstatSync(at("out")).isFile()).toBe(true);
    expect((await thaw(["cp", "web:/t/loop", dir])).exitCode).not.toBe(0);
  });
});

describe("folders", () => {
  const make = (): void => {
    mkdirSync(at("src/sub/empty"), { recursive: true });
    writeFileSync(at("src/run.sh"), "#!/bin/sh\n", { mode: 0o755 });
    writeFileSync(at("src/sub/secret"), "s", { mode: 0o600 });
    symlinkSync("../run.sh", at("src/sub/link"));
    chmodSync(at("src"), 0o711);
  };
  const listing = "find . -printf '%P %y %m %l\\n' | sort";

  test("under a new name, into one that is there, and /. for what is in it; back again the same", async () => {
    make();
    const inside =
      "run.sh f 755 \nsub d 755 \nsub/empty d 755 \nsub/link l 777 ../run.sh\nsub/secret f 600 \n";
    await copied(at("src"), "web:/t/new");
    expect(await guest(`cd /t/new; ${listing}`)).toBe(` d 711 \n${inside}`);
    await copied(at("src"), "web:/t/new");
    expect(await guest(`cd /t/new/src; ${listing}`)).toBe(` d 711 \n${inside}`);
    await copied(`${at("src")}/.`, "web:/t/contents");
    expect(await guest(`cd /t/contents; ${listing} | tail -n +2`)).toBe(inside);

    await copied("web:/t/contents", at("out"));
    await copied("web:/t/contents", at("out"));
    await copied("web:/t/contents/.", at("flat"));
    for (const folder of ["out", "out/contents", "flat"]) {
      expect(
        readdirSync(at(folder))
          .filter((name) => name !== "contents")
          .sort(),
      ).toEqual(["run.sh", "sub"]);
      expect(statSync(at(folder, "run.sh")).mode & 0o777).toBe(0o755);
      expect(statSync(at(folder, "sub/secret")).mode & 0o777).toBe(0o600);
      expect(readlinkSync(at(folder, "sub/link"))).toBe("../run.sh");
      expect(existsSync(at(folder, "sub/empty"))).toBe(true);
    }
  });

  test("what would lead out is left out by name, and the exit code says so; no link is followed", async () => {
    await guest(
      "mkdir /t/bad; cd /t/bad; ln -s /etc/passwd abs; ln -s ../../x up; mkfifo pipe; echo ok > ok",
    );
    const { exitCode, stderr } = await thaw(["cp", "web:/t/bad", at("out")]);
    expect(exitCode).toBe(1);
    for (const name of ["abs", "up", "pipe"]) expect(String(stderr)).toContain(`not copied: ${name}`);
    expect(readdirSync(at("out"))).toEqual(["ok"]);
    // a link that lies in the way here is replaced, not written through
    mkdirSync(at("trap"));
    mkdirSync(at("elsewhere"));
    symlinkSync("../elsewhere", at("trap/sub"));
    await guest("mkdir -p /t/tree/sub; echo x > /t/tree/sub/file");
    await copied("web:/t/tree/.", at("trap"));
    expect(readdirSync(at("elsewhere"))).toEqual([]);
    expect(lstatSync(at("trap/sub")).isDirectory()).toBe(true);
    expect(readFileSync(at("trap/sub/file"), "utf8")).toBe("x\n");
  });

  test("links go in as they are; names of one file stay that, both ways; times keep their nanoseconds", async () => {
    mkdirSync(at("src"));
    symlinkSync("/etc/hostname", at("src/absolute"));
    symlinkSync("../../x", at("src/climbing"));
    writeFileSync(at("src/first"), "one");
    linkSync(at("src/first"), at("src/second"));
    execFileSync("touch", ["-d", "2020-01-01 00:00:00.123456789 UTC", at("src/first")]);
    await copied(at("src"), "web:/t");
    const links = await guest("cd /t/src; readlink absolute climbing; stat -c '%h %.Y' first second");
    expect(links).toBe(`/etc/hostname\n../../x\n${"2 1577836800.123456789\n".repeat(2)}`);
    await guest("rm /t/src/absolute /t/src/climbing");
    await copied("web:/t/src", at("back"));
    const first = statSync(at("back/first"), { bigint: true });
    expect(first.ino).toBe(statSync(at("back/second"), { bigint: true }).ino);
    // node:fs sets times to the microsecond
    expect(first.mtimeNs / 10_000n).toBe(157_783_680_012_345n);
  });

  test("a read error in the middle of a file: named, exit code 1, and not half there", async () => {
    writeFileSync(
      at("shim.c"),
      `#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
typedef ssize_t (*reader)(int, void *, size_t, off64_t);
ssize_t pread64(int fd, void *to, size_t count, off64_t at) {
  char link[32], path[4096] = "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (at > 0 && readlink(link, path, sizeof path - 1) > 0 && strstr(path, "/unreadable")) { errno = EIO; return -1; }
  return ((reader)dlsym(RTLD_NEXT, "pread64"))(fd, to, count, at);
}
ssize_t pread(int fd, void *to, size_t count, off_t at) { return pread64(fd, to, count, at); }
`,
    );
    execFileSync("cc", ["-shared", "-fPIC", "-o", at("shim.so"), at("shim.c")]);
    mkdirSync(at("src"));
    writeFileSync(at("src/unreadable"), randomBytes(3_000_000));
    writeFileSync(at("src/whole"), "whole");
    const env = { LD_PRELOAD: at("shim.so") };
    const { exitCode, stderr } = await thaw(["cp", at("src"), "web:/t"], { env });
    expect(String(stderr)).toMatch(/not copied: src\/unreadable: reading failed at byte \d+: EIO/);
    expect(exitCode).toBe(1);
    expect(await guest("ls /t/src")).toBe("whole\n");
  });

  test("extended attributes: named, both ways, for a folder and for a file", async (context) => {
    const missing = findMissingAttributes(dir);
    if (missing !== undefined) return context.skip(missing);
    mkdirSync(at("src"));
    for (const name of ["file", "plain"]) writeFileSync(at("src", name), name);
    setAttribute(at("src/file"), "user.origin");
    const goesIn = `thaw: extended attributes are not copied: ${at("src/file")} (user.origin)\n`;
    for (const source of ["src", "src/file"])
      expect(await thaw(["cp", at(source), "web:/t"])).toMatchObject({ exitCode: 0, stderr: goesIn });
    // setxattr(2): no program of the template sets attributes
    const set = (path: string, name: string): string =>
      `perl -e 'my ($path, $name, $value) = @ARGV; syscall(188, $path, $name, $value, 1, 0) == 0 or die $!' ${path} ${name} v`;
    await guest(`${set("/t/src/file", "user.inside")}; ${set("/t/src", "user.folder")}`);
    const comesOut = "thaw: extended attributes are not copied:";
    expect(await thaw(["cp", "web:/t/src", at("out")])).toMatchObject({
      exitCode: 0,
      stderr: `${comesOut} file (user.inside), /t/src (user.folder)\n`,
    });
    expect(await thaw(["cp", "web:/t/src/file", at("single")])).toMatchObject({
      exitCode: 0,
      stderr: `${comesOut} /t/src/file (user.inside)\n`,
    });
    await copied("web:/t/src/plain", at("plain"));
    const run = ["run", "--snapshot", "base", "--workspace", at("src"), "--", "cat", "file"];
    expect(await thaw(run)).toMatchObject({ exitCode: 0, stdout: "file", stderr: goesIn });
  });

  test("json says what was copied", async () => {
    make();
    const { stdout } = await thaw(["cp", "--json", at("src"), "web:/t"]);
    expect(JSON.parse(String(stdout))).toEqual({ entries: 6, bytes: 11, skipped: [] });
  });
});

describe("archives", () => {
  const listing = "find . -mindepth 1 -printf '%P %y %m %U %s %T@ %l\\n' | sort";
  const list = (folder: string): string =>
    execFileSync("sh", ["-c", `cd "$0"; ${listing}`, folder]).toString();
  const sendTar = (input: Uint8Array, to = "web:/t") => thaw(["cp", "-", to], { input });

  test("tar reads what comes out, and what tar writes goes in: names, modes, times, links, holes", async () => {
    mkdirSync(at("src/empty"), { recursive: true });
    writeFileSync(at("src/bytes"), randomBytes(3_000_001), { mode: 0o640 });
    writeFileSync(at("src/none"), "");
    chmodSync(at("src/none"), 0);
    writeFileSync(at("src", "ü".repeat(100)), "long");
    linkSync(at("src/bytes"), at("src/same"));
    symlinkSync("/etc/hostname", at("src/away"));
    symlinkSync("../../x", at("src/climbing"));
    truncateSync(at("src/none"), 1_000_000);
    utimesSync(at("src/bytes"), 1_000_000_000, 1_000_000_000);
    for (const format of ["gnu", "pax", "ustar"]) {
      const name = format === "ustar" ? ["--exclude", "ü*"] : [];
      const input = execFileSync("tar", ["-C", dir, ...name, `--format=${format}`, "-c", "./src"], {
        maxBuffer: 1 << 24,
      });
      await guest("rm -rf /t/src");
      expect(await sendTar(input)).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
      mkdirSync(at("expected"));
      execFileSync("tar", ["-C", at("expected"), "-xp"], { input });
      expect(await guest(`cd /t/src; ${listing}`)).toBe(list(at("expected/src")));
      for (const source of ["web:/t/src", "web:/t/src/."]) {
        const { stdout, stderr, exitCode } = await thaw(["cp", source, "-"], {
          encoding: "buffer",
          maxBuffer: 1 << 24,
        });
        expect([exitCode, String(stderr)]).toEqual([0, ""]);
        const target = source.endsWith(".") ? "src" : "";
        mkdirSync(at("back", target), { recursive: true });
        execFileSync("tar", ["-C", at("back", target), "-xp"], { input: stdout as Uint8Array });
        expect(list(at("back/src"))).toBe(list(at("expected/src")));
        expect(sha256(readFileSync(at("back/src/same")))).toBe(sha256(readFileSync(at("src/bytes"))));
        rmSync(at("back"), { recursive: true });
      }
      rmSync(at("expected"), { recursive: true });
    }
  });

  test("one file, and one that proc has", async () => {
    await guest("printf hello > /t/one");
    for (const [path, content] of [
      ["/t/one", "hello"],
      ["/proc/sys/kernel/ostype", "Linux\n"],
    ] as const) {
      const { stdout } = await thaw(["cp", `web:${path}`, "-"]);
      expect(fileInTar(String(stdout))).toBe(content);
    }
  });

  test("what can't be in an archive is named; nothing leads out of the destination", async () => {
    await guest("mkdir /t/odd; cd /t/odd; mkfifo pipe; touch \"$(printf 'bad\\377')\" good");
    const out = await thaw(["cp", "web:/t/odd", "-"], { encoding: "buffer" });
    expect(out.exitCode).toBe(1);
    const said = Buffer.from(out.stderr as Uint8Array).toString();
    expect(said).toMatch(/not copied: pipe: /);
    expect(said).toMatch(/not copied: bad.*its name is not UTF-8/);
    const names = execFileSync("tar", ["-t"], { input: out.stdout as Uint8Array }).toString();
    expect(names).toBe("odd/\nodd/good\n");

    const bad: [Buffer, RegExp][] = [
      [tarOf([["../up", Buffer.from("x")]]), /\. or \.\. part: \.\.\/up/],
      [tarOf([["a/../../up", Buffer.from("x")]]), /\. or \.\. part/],
      [Buffer.alloc(700, "no tar at all "), /not a complete tar archive/],
      [tarOf([["file", Buffer.alloc(5000)]]).subarray(0, 2000), /not a complete tar archive/],
    ];
    for (const [input, says] of bad) {
      const { exitCode, stderr } = await sendTar(input);
      expect(String(stderr)).toMatch(says);
      expect(exitCode).toBe(2);
    }
    // An absolute name lies beneath the destination, and no link that the archive makes is written through.
    const link = execFileSync("sh", [
      "-c",
      'cd "$0"; ln -s /t/elsewhere door; tar -c door; rm door; mkdir door; echo x > door/through; tar -c door/through',
      dir,
    ]);
    await guest("mkdir /t/elsewhere");
    expect((await sendTar(tarOf([["/etc/x", Buffer.from("x")]]))).exitCode).toBe(0);
    await sendTar(link, "web:/t");
    expect(await guest("ls /t/etc /t/elsewhere")).toBe("/t/elsewhere:\n\n/t/etc:\nx\n");
    mkfifo(at("pipe"));
    const odd = await sendTar(execFileSync("tar", ["-C", dir, "-c", "pipe"]));
    expect([odd.exitCode, String(odd.stderr)]).toEqual([1, expect.stringMatching(/pipe: a named pipe/)]);
  });

  test("over HTTP, by its type", async () => {
    const { socket } = await thawJson<{ socket: string }>(["daemon", "status"]);
    const curl = (...args: string[]): Buffer =>
      execFileSync("curl", ["-sf", "--unix-socket", socket, ...args], { cwd: dir });
    writeFileSync(at("given"), "by http");
    execFileSync("tar", ["-C", dir, "-cf", at("in.tar"), "given"]);
    const tree = "http://thaw/v1/sandboxes/web/tree?path=/t";
    const type = "application/x-tar";
    const put = ["-T", at("in.tar"), "-H", `content-type: ${type}`, tree];
    expect(JSON.parse(curl(...put).toString())).toEqual({ entries: 1, bytes: 7, skipped: [] });
    const input = curl("-H", `accept: ${type}`, tree);
    expect(execFileSync("tar", ["-xO", "t/given"], { input }).toString()).toBe("by http");
    expect(curl("-H", `accept: ${type}`, `${tree}/given`).toString("latin1", 0, 5)).toBe("given");
  });
});

describe("refused with a reason", () => {
  test.each([
    [["web:/nowhere", "."], 2, /there is no \/nowhere in web/],
    [["/nowhere-here", "web:/t"], 2, /there is no \/nowhere-here here/],
    [["/etc/passwd", "web:/nowhere/x"], 2, /there is no folder \/nowhere in web.*mkdir -p/s],
    [["/etc/passwd", "web:/nowhere/"], 2, /there is no folder \/nowhere\/ in web/],
    [["/etc/passwd", "web:/etc/passwd/x"], 125, /not a folder|Not a directory/],
    [["/etc/apt", "web:/etc/passwd"], 125, /web:\/etc\/passwd is not a folder/],
    [["web:/dev/zero", "-"], 125, /can't be in an archive/],
    [["-", "web:/etc/passwd"], 125, /is not a folder.*\/dev\/stdin/s],
    [["-", "web:/nowhere"], 2, /there is no folder \/nowhere in web/],
    [["-", "web:/etc"], 2, /not a complete tar archive: it is empty/],
    [["web:/etc/passwd/", "/tmp"], 125, /not a folder|Not a directory/],
    [["web:/etc", "/etc/passwd"], 125, /\/etc\/passwd is not a folder/],
    [["web:/etc/passwd", "/nowhere/x"], 2, /there is no folder \/nowhere here/],
    [["web:relative", "."], 2, /begins with \//],
    [["web:/a", "web:/b"], 2, /on this host/],
    [["a", "b"], 2, /in a sandbox/],
    [["none:/a", "."], 2, /none/],
    [["--user", "root", "web:/etc/passwd", "-"], 2, /--user/],
  ] as const)("thaw cp %s", async (args, code, says) => {
    const { exitCode, stderr } = await thaw(["cp", ...args], { input: "" });
    expect(String(stderr)).toMatch(says);
    expect(exitCode).toBe(code);
  });
});

test("on a terminal a large copy shows how far it is", async () => {
  await using terminal = await Terminal.open();
  // It does not come to its end.
  const most = `(tar -C ${dir} -c big | head -c 290M; sleep 600)`;
  await terminal.type(`truncate -s 300M ${at("big")}; ${most} | thaw cp - web:/t`);
  await terminal.until(/ - → web:\/t {2}[\d.]+ [KM]iB {2}[\d.]+ \w+\/s/);
  await terminal.press("C-c");
  await terminal.until(/interrupted by SIGINT\s+host> $/m);
});

test("Ctrl-C ends what writes the archive, too, and is what is told", async () => {
  const client = thaw(["cp", "-", "web:/tmp"], { stdin: "pipe" });
  const { stdin } = client;
  if (stdin === null || stdin === undefined) throw new Error("no pipe");
  // More than a pipe holds: once it has gone, it is being read.
  stdin.write(Buffer.concat([tarHeader("half", 2 ** 30), Buffer.alloc(1 << 20)]));
  await once(stdin, "drain");
  // All that was sent has been read by then.
  await sleep(500);
  // It sees both at once, the end first.
  client.kill("SIGSTOP");
  stdin.end();
  await once(stdin, "close");
  client.kill("SIGINT");
  client.kill("SIGCONT");
  const { exitCode, stderr } = await client;
  expect([exitCode, stderr]).toEqual([130, expect.stringContaining("interrupted by SIGINT")]);
});

test("completion names the commands of a sandbox, and nothing behind them", async () => {
  const [sandbox] = await thawJson<{ name: string; execs: { id: string }[] }[]>(["ls"]);
  const ids = sandbox?.execs.map(({ id }) => id) ?? [];
  expect(ids.length).toBeGreaterThan(0);
  const complete = async (...words: string[]) => (await thaw(["__complete", "--", ...words])).stdout;
  const all = ids.toSorted().map((id) => `${id}\n`);
  // A daemon that is slow to answer is not waited for.
  const completes = (words: string[], expected: string) =>
    until(async () => (await complete(...words)) === expected, `thaw ${words.join(" ")} to be completed`);
  for (const verb of ["attach", "logs", "kill"]) await completes([verb, "web", ""], all.join(""));
  await completes(["logs", "-f", "web", ids[0] ?? ""], `${ids[0]}\n`);
  expect(await complete("logs", "web", ids[0] ?? "", "")).toBe("");
  await completes(["wait", "web", "--for", "exec", ""], all.join(""));
  expect(await complete("wait", "web", "--for", "")).toBe("exec\nremoved\nstopped\n");

  const made = ["sh", "-c", "mkdir -p /c/d && cd /c && touch a '$(id)' ';b' 'x y'"];
  expect((await thaw(["exec", "web", "--", ...made])).exitCode).toBe(0);
  await completes(["cp", "we"], "web:\n");
  await completes(["cp", "./here", "we"], "web:\n");
  await completes(["cp", "web:/c/"], "web:/c/a\nweb:/c/d/\n");
  // The shell completes paths of this host.
  expect(await complete("cp", "./")).toBe("");
  expect(await complete("cp", "web:/c/a", "")).toBe("");
});
