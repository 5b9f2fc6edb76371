import { expect, test } from "vitest";
import { aptSettings, sourceLine, sourcesFor } from "../../engine/rootfs/apt-settings.ts";
import { debootstrapArgv, mkfsArgv, namespacedArgv } from "../../engine/rootfs/argv.ts";

const TARGETS = [
  "http://mirror.example/debian/|bookworm|main",
  "http://mirror.example/debian/|bookworm|contrib",
  "http://mirror.example/debian/|bookworm-updates|main",
  "http://mirror.example/debian-security/|bookworm-security|main",
  "http://mirror.example/other/|bookworm-foo|main",
  "",
].join("\n");

const lines = (suite: string, targets: string, keyring: string | undefined) => {
  const { sources, ofHost } = sourcesFor(suite, targets);
  return { lines: sources.map((source) => sourceLine(source, keyring)), ofHost };
};

test("the host's mirrors are used for the host's suite", () => {
  expect(lines("bookworm", TARGETS, "/k.gpg")).toEqual({
    lines: [
      "deb [signed-by=/k.gpg] http://mirror.example/debian/ bookworm main contrib",
      "deb [signed-by=/k.gpg] http://mirror.example/debian/ bookworm-updates main",
      "deb [signed-by=/k.gpg] http://mirror.example/debian-security/ bookworm-security main",
    ],
    ofHost: true,
  });
});

test("another suite comes from the host's mirrors too, its main component only", () => {
  expect(lines("trixie", TARGETS, undefined)).toEqual({
    lines: [
      "deb http://mirror.example/debian/ trixie main",
      "deb http://mirror.example/debian/ trixie-updates main",
      "deb http://mirror.example/debian-security/ trixie-security main",
    ],
    ofHost: false,
  });
});

test("a host whose apt has nothing of Debian's fetches from Debian itself, by Debian's keys", () => {
  expect(lines("trixie", "", "/k.gpg")).toEqual({
    lines: [
      "deb [signed-by=/k.gpg] http://deb.debian.org/debian trixie main",
      "deb [signed-by=/k.gpg] http://deb.debian.org/debian trixie-updates main",
      "deb [signed-by=/k.gpg] http://deb.debian.org/debian-security trixie-security main",
    ],
    ofHost: false,
  });
});

test("proxies become environment, checks are kept in the image", () => {
  const dump = [
    'APT::Architecture "amd64";',
    'Acquire::Check-Valid-Until "false";',
    'Acquire::http::Proxy "http://proxy.example:3128";',
    'Acquire::https::Proxy "DIRECT";',
    'Acquire::cdrom::mount "/media";',
  ].join("\n");
  expect(aptSettings(dump)).toEqual({
    options: ['Acquire::Check-Valid-Until "false"'],
    environment: { http_proxy: "http://proxy.example:3128" },
  });
});

test("command line of mmdebstrap", () => {
  const argv = debootstrapArgv({
    suite: "bookworm",
    packages: ["git", "curl"],
    sources: ["deb http://mirror.example/debian bookworm main"],
    aptOptions: ['Acquire::Check-Date "false"'],
    tree: "/scratch/tree",
  });
  expect(argv.join("\n")).toMatchInlineSnapshot(`
    "--mode=root
    --variant=minbase
    --format=directory
    --include=git,curl
    --setup-hook=mkdir -p "$1"/etc/dpkg/dpkg.cfg.d && printf "%s\\n" "path-exclude=/usr/share/man/*" "path-exclude=/usr/share/info/*" "path-exclude=/usr/share/doc/*" "path-exclude=/usr/share/locale/*" "path-exclude=/usr/share/lintian/*" "path-include=/usr/share/doc/*/copyright" "path-include=/usr/share/locale/locale.alias" "force-unsafe-io" > "$1"/etc/dpkg/dpkg.cfg.d/thaw
    --aptopt=APT::Install-Recommends "false"
    --aptopt=APT::Install-Suggests "false"
    --aptopt=Acquire::Languages "none"
    --aptopt=Acquire::Check-Date "false"
    --customize-hook=chroot "$1" dpkg-query -W -f '\${Package} \${Version} \${Architecture} \${db:Status-Status}\\n' > "$1"/../installed && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && apt-cache -q dumpavail | awk '/^Package: /{name=$2} /^Version: /{print name, $2}' > "$1"/../available
    --customize-hook=rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/systemd/random-seed "$1"/var/lib/dbus/machine-id "$1"/etc/resolv.conf "$1"/etc/hostname && : > "$1"/etc/machine-id && printf "thaw\\n" > "$1"/etc/hostname && printf "127.0.0.1 localhost\\n::1 localhost\\n" > "$1"/etc/hosts
    --customize-hook=cd "$1"/usr/share && mkdir -p man info doc locale lintian && find man info doc locale lintian -mindepth 1 ! -type d ! -path "doc/*/copyright" ! -path "locale/locale.alias" -delete && find man info doc locale lintian -mindepth 1 -type d -empty -delete
    bookworm
    /scratch/tree
    deb http://mirror.example/debian bookworm main"
  `);
});

test("command line of mke2fs", () => {
  expect(mkfsArgv({ tree: "/t", image: "/i", diskMib: 2048 }).join(" ")).toMatchInlineSnapshot(
    `"-q -F -t ext4 -L thaw -m 0 -J size=16 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0 -d /t /i 2048M"`,
  );
});

test("tools end with this process, and who is not root becomes root of a user namespace", () => {
  expect(namespacedArgv(true, ["mke2fs"]).join(" ")).toMatchInlineSnapshot(
    `"setpriv --pdeathsig KILL -- unshare --mount --pid --fork --kill-child --mount-proc -- mke2fs"`,
  );
  expect(namespacedArgv(false, ["mke2fs"])).toContain("--map-auto");
});
