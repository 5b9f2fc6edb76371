/** Command lines that make a root file system, pure. */
import { printAvailable } from "../packages/available.ts";

/** What every image leaves out of /usr/share, and what it keeps of that. */
const LEFT_OUT = ["man", "info", "doc", "locale", "lintian"] as const;
const KEPT = ["doc/*/copyright", "locale/locale.alias"] as const;

/** For dpkg, while the image is made and in the machine. A machine's disk is an overlay that is thrown away: nobody waits for it. */
const DPKG_SETTINGS = [
  ...LEFT_OUT.map((folder) => `path-exclude=/usr/share/${folder}/*`),
  ...KEPT.map((path) => `path-include=/usr/share/${path}`),
  "force-unsafe-io",
];

/**
 * mmdebstrap, told of paths to leave out, sends each package through a filter in Python: as long as all the rest of its unpacking. dpkg
 * leaves them out by itself; what was unpacked before there was a dpkg is removed at the end.
 */
const LEAVE_OUT = `mkdir -p "$1"/etc/dpkg/dpkg.cfg.d && printf "%s\\n" ${DPKG_SETTINGS.map((line) => `"${line}"`).join(" ")} > "$1"/etc/dpkg/dpkg.cfg.d/thaw`;
const REMOVE_LEFT_OUT = [
  'cd "$1"/usr/share',
  `mkdir -p ${LEFT_OUT.join(" ")}`,
  `find ${LEFT_OUT.join(" ")} -mindepth 1 ! -type d ${KEPT.map((path) => `! -path "${path}"`).join(" ")} -delete`,
  `find ${LEFT_OUT.join(" ")} -mindepth 1 -type d -empty -delete`,
].join(" && ");

const LEAN_APT = [
  'APT::Install-Recommends "false"',
  'APT::Install-Suggests "false"',
  'Acquire::Languages "none"',
] as const;

/** Removes what must not be the same in two machines, and settings of the host that mean nothing inside one. */
const FORGET_IDENTITY = [
  'rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/systemd/random-seed "$1"/var/lib/dbus/machine-id "$1"/etc/resolv.conf "$1"/etc/hostname',
  ': > "$1"/etc/machine-id',
  'printf "thaw\\n" > "$1"/etc/hostname',
  'printf "127.0.0.1 localhost\\n::1 localhost\\n" > "$1"/etc/hosts',
].join(" && ");

/** What the hooks note beside the tree: the packages that are installed, and what the index has of all packages. */
export const INSTALLED_FILE = "installed";
export const AVAILABLE_FILE = "available";
const NOTE_PACKAGES = [
  `chroot "$1" dpkg-query -W -f '\${Package} \${Version} \${Architecture} \${db:Status-Status}\\n' > "$1"/../${INSTALLED_FILE}`,
  `export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && ${printAvailable()} > "$1"/../${AVAILABLE_FILE}`,
].join(" && ");

export interface DebootstrapOptions {
  suite: string;
  packages: readonly string[];
  /** One-line sources. */
  sources: readonly string[];
  /** Settings of the host's apt to keep, e.g. `Acquire::Check-Valid-Until "false"`. */
  aptOptions: readonly string[];
  /** Folder to fill. Files with notes are written beside it. */
  tree: string;
}

/** mmdebstrap's arguments. It runs as root, be it root of a user namespace. */
export function debootstrapArgv(options: DebootstrapOptions): string[] {
  return [
    ...["--mode=root", "--variant=minbase", "--format=directory"],
    ...(options.packages.length === 0 ? [] : [`--include=${options.packages.join(",")}`]),
    `--setup-hook=${LEAVE_OUT}`,
    ...[...LEAN_APT, ...options.aptOptions].map((option) => `--aptopt=${option}`),
    `--customize-hook=${NOTE_PACKAGES}`,
    `--customize-hook=${FORGET_IDENTITY}`,
    `--customize-hook=${REMOVE_LEFT_OUT}`,
    options.suite,
    options.tree,
    ...options.sources,
  ];
}

/**
 * mke2fs's arguments for a sparse image of `diskMib`. Nothing is left to be initialised by the running guest, which would dirty memory
 * and disk of each clone; the journal is small and no blocks are set aside for root.
 */
export function mkfsArgv({
  tree,
  image,
  diskMib,
}: {
  tree: string;
  image: string;
  diskMib: number;
}): string[] {
  const journalMib = Math.min(16, Math.ceil(diskMib / 4));
  return [
    ...["-q", "-F", "-t", "ext4", "-L", "thaw", "-m", "0", "-J", `size=${journalMib}`],
    ...["-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0"],
    ...["-d", tree, image, `${diskMib}M`],
  ];
}

/**
 * Wraps a command so that it and all it starts ends with this process or with a SIGKILL to the one process it appears as, and its mounts
 * with it. Who is not root becomes root of a user namespace with the ranges of /etc/subuid.
 */
export function namespacedArgv(asRoot: boolean, command: readonly string[]): [string, ...string[]] {
  const user = asRoot ? [] : ["--map-root-user", "--map-auto"];
  const unshare = ["unshare", ...user, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];
  return ["setpriv", "--pdeathsig", "KILL", "--", ...unshare, ...command];
}
