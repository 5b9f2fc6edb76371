/** Cached folders inside a guest: their file system is mounted, and each is bound to its place. */
import { sha256 } from "../../durable/digest.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { EngineError } from "../errors.ts";
import { runGuestStep } from "../templates/guest-step.ts";

/** Where the file system is mounted. */
const MOUNTED_AT = "/var/lib/thaw/cache";

/**
 * Folders that no path names any more go; one that is not there yet begins as what the sandbox has at its path. Variables carry the paths, so that
 * nothing of them is taken for a command.
 */
const MOUNT = `
make() {
  [ -d "$1" ] && return
  case "\${1%/*}" in "") ;; *) make "\${1%/*}" ;; esac
  mkdir "$1"
  chown "$OWNER" "$1"
}
mkdir -p "$AT"
mount -t ext4 -o noatime,discard,noinit_itable /dev/vda2 "$AT"
cd "$AT"
for old in * .[!.]*; do
  case " $NAMES " in *" $old "*) ;; *) rm -rf "./$old" ;; esac
done
number=0
for name in $NAMES; do
  eval "path=\\$PATH_$number"
  number=$((number + 1))
  make "$path"
  if [ ! -d "$name" ]; then
    rm -rf "./$name"
    mkdir "$name"
    cp -a "$path/." "$name/"
  fi
  mount --bind "$name" "$path"
done
`;

/** The guest can't have its folders, or can't write them out. */
export class CantMountError extends EngineError {}

export interface MountOptions {
  paths: readonly string[];
  /** Whose the folders are that are not there yet. */
  user: string;
  signal?: AbortSignal | undefined;
}

/** Throws `CantMountError`. */
export async function mountCache(agent: Agent, options: MountOptions): Promise<void> {
  const { paths, user, signal } = options;
  const env = {
    AT: MOUNTED_AT,
    OWNER: user,
    NAMES: paths.map((path) => sha256(path).slice(0, 16)).join(" "),
    ...Object.fromEntries(paths.map((path, number) => [`PATH_${number}`, path])),
  };
  await inGuest(agent, { name: "mount cached folders", run: MOUNT, env }, signal);
}

/** Makes the guest write its cached folders from memory to its disk. */
export async function syncCache(agent: Agent, signal?: AbortSignal): Promise<void> {
  await inGuest(agent, { name: "write cached folders", run: `sync -f ${MOUNTED_AT}`, env: {} }, signal);
}

async function inGuest(
  agent: Agent,
  step: { name: string; run: string; env: Record<string, string> },
  signal?: AbortSignal,
): Promise<void> {
  try {
    await runGuestStep(agent, { ...step, user: "root" }, () => {}, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof EngineError) || error.code !== "build-failed") throw error;
    const said = (error.details ?? []).slice(-3).join("; ");
    throw new CantMountError(
      "unsupported",
      `the sandbox can't mount its cached folders: ${said || error.message}`,
      {
        hint: "the template needs mount (package util-linux) and sync (package coreutils)",
        cause: error,
      },
    );
  }
}
