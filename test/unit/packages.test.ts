/** Packages of machines: versions in dpkg's order, databases of package managers as guests write them, indexes as the real apt fetches them. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EngineError } from "../../engine/errors.ts";
import {
  parseApkInstalled,
  parseDpkgStatus,
  readPackages,
  systemOf,
  writePackages,
} from "../../engine/packages/installed.ts";
import { PackageJudge } from "../../engine/packages/outdated.ts";
import { SuiteIndexes, suiteOfSystem } from "../../engine/packages/suite-index.ts";
import { compareVersions } from "../../engine/packages/versions.ts";
import { renewedDir, rootfsDir } from "../../engine/rootfs/make.ts";
import { Roots } from "../../engine/rootfs/roots.ts";
import { parseRecipe } from "../../engine/templates/recipe.ts";
import { outdatedSuite } from "../../engine/templates/refresh.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "thaw-packages-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const { signal } = new AbortController();
const hasApt = existsSync("/usr/bin/apt-get") && existsSync("/usr/bin/dpkg");

test.runIf(hasApt)("versions have dpkg's order", () => {
  const part = fc.oneof(
    fc.constantFrom(
      "0",
      "00",
      "1",
      "01",
      "9",
      "10",
      "a",
      "b",
      "A",
      "rc",
      "~",
      "~~",
      "+",
      ".",
      "deb12u",
      "20240101",
    ),
    fc.stringMatching(/^[0-9a-zA-Z.+~]{1,6}$/),
  );
  const text = (min: number) => fc.array(part, { minLength: min, maxLength: 4 }).map((all) => all.join(""));
  const version = fc
    .tuple(
      fc.constantFrom("", "0:", "1:", "01:", "10:"),
      fc.nat(30),
      text(0),
      fc.option(text(1)),
      fc.option(text(1)),
    )
    .map(([epoch, first, upstream, inner, revision]) =>
      [`${epoch}${first}${upstream}`, ...[inner, revision].filter((one) => one !== null)].join("-"),
    );
  // Independent versions seldom differ late: half of the pairs have a beginning in common.
  const near = fc.tuple(version, text(0), text(0)).map(([both, a, b]) => [both + a, both + b] as const);
  const pairs = fc.sample(fc.oneof(fc.tuple(version, version), near), { numRuns: 400, seed: 4 });
  const script =
    'while read -r a b; do if dpkg --compare-versions "$a" lt "$b"; then echo -1; elif dpkg --compare-versions "$a" eq "$b"; then echo 0; else echo 1; fi; done';
  const input = pairs.map((pair) => `${pair.join(" ")}\n`).join("");
  const orders = execFileSync("sh", ["-c", script], {
    input,
    encoding: "utf8",
    stdio: ["pipe", "pipe", "ignore"],
  })
    .trim()
    .split("\n")
    .map(Number);
  expect(orders).toHaveLength(pairs.length);
  expect(new Set(orders)).toEqual(new Set([-1, 0, 1]));
  pairs.forEach(([a, b], index) => {
    expect([a, b, Math.sign(compareVersions(a, b))]).toEqual([a, b, orders[index]]);
    expect([b, a, Math.sign(compareVersions(b, a))]).toEqual([
      b,
      a,
      orders[index] === 0 ? 0 : -Number(orders[index]),
    ]);
  });
});

test("databases of packages are read as far as they are sound", () => {
  const dpkg = `Package: curl
Status: install ok installed
Architecture: amd64
Version: 7.88.1-10+deb12u8
Conffiles:
 /etc/x 0123
Description: a tool
 Version: 9

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: half
Status: install ok half-installed
Architecture: amd64
Version: 1

Package: ../../etc
Status: install ok installed
Architecture: amd64
Version: 1

Package: odd
Status: install ok installed
Architecture: amd64
Version: 1\u001b[31m


Package: tzdata
Status: hold ok installed
Architecture: all
Version: 2024a-0+deb12u1
`;
  expect(parseDpkgStatus(dpkg)).toEqual([
    ["curl", "7.88.1-10+deb12u8", "amd64"],
    ["tzdata", "2024a-0+deb12u1", "all"],
  ]);
  const apk = "C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\n\nP:busybox\nV:1.36.1-r29\nA:x86_64\n\n";
  expect(parseApkInstalled(apk)).toEqual([
    ["musl", "1.2.5-r0", "x86_64"],
    ["busybox", "1.36.1-r29", "x86_64"],
  ]);
  for (const text of ["", "\n\n\n", "<html>", "Package: x\nStatus: install ok installed\n"])
    expect(parseDpkgStatus(text)).toBeNull();
  const stanza = "Package: x1\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n";
  expect(parseDpkgStatus(stanza.repeat(20_001))).toBeNull();
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      for (const [name, version] of parseDpkgStatus(stanza + text) ?? [])
        expect(`${name} ${version}`).toMatch(/^[A-Za-z0-9+._-]+ [A-Za-z0-9.+~:_-]+$/);
    }),
  );
  expect(systemOf('PRETTY_NAME="x"\nID=debian\nVERSION_CODENAME=bookworm\nVERSION_ID="12"\n')).toBe(
    "debian bookworm",
  );
  expect(systemOf("ID=alpine\nVERSION_ID=3.20.1\n")).toBe("alpine 3.20.1");
  expect(systemOf("ID=\u001b[2J\nVERSION_ID=a b\n")).toBe("");
  expect([
    suiteOfSystem("debian bookworm"),
    suiteOfSystem("ubuntu noble"),
    suiteOfSystem("debian ../x"),
  ]).toEqual([...["bookworm", null, null]]);
});

/** A repository of a suite for apt, unsigned. */
function repository(packages: Record<string, string>): string {
  const root = join(dir, "mirror");
  const index = join(root, "dists/bookworm/main/binary-amd64");
  mkdirSync(index, { recursive: true });
  const stanzas = Object.entries(packages).map(([name, version]) =>
    [
      ...[`Package: ${name}`, `Version: ${version}`, "Architecture: amd64", "Maintainer: a <a@example.com>"],
      ...[`Filename: pool/${name}.deb`, "Size: 1", `SHA256: ${"0".repeat(64)}`, "Description: d", ""],
    ].join("\n"),
  );
  const text = `${stanzas.join("\n")}\n`;
  writeFileSync(join(index, "Packages"), text);
  const digest = execFileSync("sha256sum", [join(index, "Packages")], { encoding: "utf8" }).slice(0, 64);
  writeFileSync(
    join(root, "dists/bookworm/Release"),
    `Origin: Debian
Codename: bookworm
Suite: bookworm
Date: ${new Date().toUTCString().replace("GMT", "UTC")}
Architectures: amd64
Components: main
SHA256:
 ${digest} ${Buffer.byteLength(text)} main/binary-amd64/Packages
`,
  );
  return `file:${root} bookworm main`;
}

test.runIf(hasApt)(
  "apt fetches an index; one without the right signature is refused, and the one before it stays",
  async () => {
    const indexes = new SuiteIndexes(join(dir, "packages"));
    expect(await indexes.read("bookworm")).toBeNull();
    const trusted = (packages: Record<string, string>) => [`deb [trusted=yes] ${repository(packages)}`];
    await indexes.fetch("bookworm", { sources: trusted({ curl: "1:2-3", "libx++": "1~rc1" }), signal });
    const first = await indexes.read("bookworm");
    expect(Object.fromEntries(first?.versions ?? [])).toEqual({ curl: "1:2-3", "libx++": "1~rc1" });
    const sources = trusted({ curl: "1:2-3", "libx++": "1~rc1" });
    await Promise.all([1, 2].map(() => indexes.fetch("bookworm", { sources, signal })));

    const unsigned = [`deb ${repository({ curl: "9" })}`];
    const refused = await indexes
      .fetch("bookworm", { sources: unsigned, signal })
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(EngineError);
    expect(refused).toMatchObject({
      code: "build-failed",
      message: "the index of Debian bookworm could not be fetched",
    });
    expect((refused as EngineError).details?.join("\n")).toMatch(/not signed/);
    const absent = [`deb [trusted=yes] file:${dir}/none bookworm main`];
    await expect(indexes.fetch("bookworm", { sources: absent, signal })).rejects.toMatchObject({
      code: "build-failed",
    });
    expect((await indexes.read("bookworm"))?.versions).toEqual(first?.versions);
    // Nothing half made is left.
    expect(readdirSync(join(dir, "packages")).sort()).toEqual(["apt-bookworm", "bookworm.json"]);
  },
);

test.runIf(hasApt)(
  "what was built is judged by the last known index, and a refresh names what is outdated",
  async () => {
    const home = { rootfs: join(dir, "rootfs"), packages: join(dir, "packages") };
    mkdirSync(home.rootfs);
    const indexes = new SuiteIndexes(home.packages);
    const packagesJudge = new PackageJudge(indexes);
    const recipe = parseRecipe("name: t\nfrom: debian:bookworm\npackages: [curl]\n", "t.yaml");
    const root = await rootfsDir(home, recipe, null);
    const built = join(dir, "snapshot");
    for (const folder of [root, built]) mkdirSync(folder);
    const dpkg = (...packages: [string, string, string][]) => ({
      ...{ manager: "dpkg" as const, system: "debian bookworm", packages },
    });
    await writePackages(root, dpkg(["curl", "1", "amd64"]));
    await writePackages(
      built,
      dpkg(["curl", "1", "amd64"], ["own", "3", "amd64"], ["tool", "1", "amd64"], ["tool", "1", "i386"]),
    );
    expect(await packagesJudge.summary(built)).toMatchObject({ count: 4, outdated: null, indexAt: null });

    const fetch = (packages: Record<string, string>) =>
      indexes.fetch("bookworm", { sources: [`deb [trusted=yes] ${repository(packages)}`], signal });
    const find = () => outdatedSuite({ home, indexes }, { recipe, present: { dir: built } });
    await fetch({ curl: "1", tool: "1" });
    expect(await find()).toEqual({ root: false, built: false, detail: "nothing is outdated" });
    expect(await packagesJudge.summary(built)).toMatchObject({ count: 4, outdated: 0 });

    // A step's package is outdated, and the root file system is not.
    await fetch({ curl: "1", tool: "2" });
    const tool = "1 of 4 packages are outdated: tool";
    expect(await find()).toEqual({ root: false, built: true, detail: tool });
    expect(await packagesJudge.summary(built)).toMatchObject({ count: 4, outdated: 1 });
    const judged = (await packagesJudge.judge(built))?.packages.filter(([, , , newer]) => newer !== null);
    expect(judged).toEqual([["tool", "1", "amd64", "2"]]);

    await fetch({ curl: "1.1", tool: "1" });
    expect(await find()).toMatchObject({ root: true, built: true });
    expect(await outdatedSuite({ home, indexes }, { recipe, present: null })).toMatchObject({
      root: true,
      built: false,
    });

    // Made anew, beside the one before it, which a prune or the next start removes.
    const renewed = renewedDir(root);
    mkdirSync(renewed);
    await writePackages(renewed, dpkg(["curl", "1.1", "amd64"]));
    expect(await rootfsDir(home, recipe, null)).toBe(renewed);
    expect(await find()).toMatchObject({ root: false, built: true });
    mkdirSync(renewedDir(renewed));
    mkdirSync(join(home.rootfs, "reserved"));
    const roots = new Roots(home.rootfs);
    const key = root.slice(-16);
    const old = [key, `${key}-2`].map((id) => ({
      ...{ id, bytes: expect.any(Number), reason: `was made anew as ${key}-3` },
    }));
    expect(await roots.prune({ dryRun: true })).toEqual(old);
    const building = roots.use();
    expect(await roots.prune({ dryRun: false })).toEqual([]);
    building[Symbol.dispose]();
    expect(await roots.prune({ dryRun: false })).toEqual(old);
    expect(readdirSync(home.rootfs).sort()).toEqual([`${key}-3`, "reserved"].sort());

    // A version that noted no packages.
    await expect(readPackages(join(home.rootfs, "reserved"))).resolves.toBeNull();
    rmSync(join(built, "packages.json"));
    expect(await outdatedSuite({ home, indexes }, { recipe, present: { dir: built } })).toMatchObject({
      built: true,
    });
  },
);
