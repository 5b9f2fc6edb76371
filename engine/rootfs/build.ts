/** Makes a root disk of a Debian suite and packages, from the host's mirrors, without a container or a daemon. */
import { mkdtemp, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { RootDisk } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import { debootstrapArgv, namespacedArgv } from "./argv.ts";
import { removeTree, writeDisk } from "./disk.ts";
import { hostApt } from "./host-apt.ts";
import { runStep } from "./run.ts";
import { SUITE_HINT, SUITE_PATTERN } from "./suites.ts";

const BOOTSTRAP_TIMEOUT_MS = 20 * 60_000;

export interface BuildRootfsOptions {
  /** Debian release name, e.g. `bookworm`. */
  suite: string;
  /** Debian packages beyond the minimal base. */
  packages: readonly string[];
  /** Form of the disk, as of {@link WriteDiskOptions}. */
  form: RootDisk | null;
  /** File to make; its folder must exist and gets scratch files while this runs. */
  outputDisk: string;
  /** Virtual size of the disk. */
  diskMib: number;
  /** Called with the folder of the notes about packages (INSTALLED_FILE, AVAILABLE_FILE), which goes when this resolves. */
  onNotes?: ((dir: string) => Promise<void>) | undefined;
  /** One line of what the tools are doing. */
  onProgress?: ((line: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Resolves when `outputDisk` is whole. Needs root, or subordinate uids (/etc/subuid) for who is not. Rejects with `host-not-ready`,
 * `no-space`, `build-failed` (the tools' last lines in `details`), `timeout` or the signal's reason; nothing is left behind then.
 */
export async function buildRootfs(options: BuildRootfsOptions): Promise<void> {
  const { suite, packages, form, outputDisk, diskMib, signal } = options;
  checkNames(suite, packages);
  const asRoot = process.getuid?.() === 0;
  const wrap = (command: readonly string[]): [string, ...string[]] => namespacedArgv(asRoot, command);
  const scratch = await mkdtemp(join(dirname(outputDisk), ".rootfs-"));
  try {
    const tree = join(scratch, "tree");
    const apt = await hostApt(suite, signal);
    await runStep(
      wrap([
        "mmdebstrap",
        ...debootstrapArgv({ suite, packages, tree, sources: apt.sources, aptOptions: apt.options }),
      ]),
      {
        environment: { ...apt.environment, HOME: scratch, TMPDIR: scratch },
        timeoutMs: BOOTSTRAP_TIMEOUT_MS,
        onLine: (line) => options.onProgress?.(line.replace(/^[IWE]: /, "")),
        signal,
        debianPackage: "mmdebstrap",
      },
    );
    await options.onNotes?.(scratch);
    options.onProgress?.("writing the disk");
    await writeDisk({ tree, form, image: join(scratch, "disk.raw"), outputDisk, diskMib, asRoot, signal });
  } catch (error) {
    await rm(outputDisk, { force: true });
    throw error;
  } finally {
    await removeTree(scratch, asRoot);
  }
}

/** Both become arguments and parts of sources. */
function checkNames(suite: string, packages: readonly string[]): void {
  if (!SUITE_PATTERN.test(suite))
    throw new EngineError("invalid-template", `${JSON.stringify(suite)} is not ${SUITE_HINT}`);
  const bad = packages.filter((name) => !/^[a-z0-9][a-z0-9+.-]+$/.test(name));
  if (bad.length > 0) throw new EngineError("invalid-template", `invalid package names: ${bad.join(", ")}`);
}
