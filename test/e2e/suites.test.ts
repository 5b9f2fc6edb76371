/** Machines of Debian's suites, each with its own kernel. bookworm and trixie are those of other tests; all of them when THAW_TEST_TEMPLATES is `all`. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { thaw } from "../helpers/thaw.ts";

const SUITES = [
  { suite: "bullseye", kernel: /^5\.10\./, version: /^11\./ },
  { suite: "bookworm", kernel: /^6\.1\./, version: /^12\./ },
  { suite: "trixie", kernel: /^6\.12\./, version: /^13\./ },
  { suite: "forky", kernel: /^([7-9]|\d\d)\./, version: /^(forky|14\.)/ },
  { suite: "sid", kernel: /^([7-9]|\d\d)\./, version: /sid$/ },
];
/** The suite that no other test has; Debian does not change it any more. */
const IN_CI = "bullseye";
const LOOKS = `
uname -r
cat /etc/debian_version
cd "$(mktemp -d)"
mkdir lower upper work merged
echo below > lower/file
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
echo "overlay: $(cat merged/file)"
ip link add va type veth peer name vb
echo "veth: $(ip -br link show va | cut -d@ -f1)"
echo "fuse: $( (exec 3<>/dev/fuse) && grep -w fuse /proc/filesystems | tr -s '\\t' ' ')"
`;
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp("/tmp/thaw-suites-");
});
afterAll(() => rm(folder, { recursive: true }));

async function templateOf(suite: string): Promise<string> {
  const path = join(folder, `${suite}.yaml`);
  const resources = "resources: { memory: 256M, disk: 2G }";
  await writeFile(path, `name: suite-${suite}\nfrom: debian:${suite}\npackages: [iproute2]\n${resources}\n`);
  return path;
}

test.for(SUITES)(
  "a machine of Debian $suite runs commands, and its own kernel loads its modules",
  { timeout: 900_000 },
  async ({ suite, kernel, version }, { skip }) => {
    skip(process.env.THAW_TEST_TEMPLATES !== "all" && suite !== IN_CI, "THAW_TEST_TEMPLATES is not `all`");
    const args = ["run", "--template", await templateOf(suite), "--", "sh", "-ec", LOOKS];
    const { exitCode, stdout, stderr } = await thaw(args, { timeout: 900_000 });
    expect([exitCode, ...String(stdout).trim().split("\n")], String(stderr)).toEqual([
      0,
      expect.stringMatching(kernel),
      expect.stringMatching(version),
      "overlay: below",
      "veth: va",
      "fuse: nodev fuse",
    ]);
  },
);

test("a suite that the mirror does not have: the error names those that it has", async () => {
  const { exitCode, stderr } = await thaw(["template", "build", await templateOf("nonesuch")]);
  expect(exitCode, String(stderr)).not.toBe(0);
  expect(stderr).toMatch(/has no Debian suite "nonesuch"/);
  expect(stderr).toMatch(/it has .*bookworm, trixie/);
});
