/** A root disk from an image of a registry: fetched, its layers made into one tree, and that written once. */
import { type FileHandle, mkdir, mkdtemp, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { RootDisk } from "../../../runners/runner.ts";
import { EngineError } from "../../errors.ts";
import { mib, type OnProgress, phase } from "../../progress.ts";
import { namespacedArgv } from "../argv.ts";
import { removeTree, writeDisk } from "../disk.ts";
import { runStep } from "../run.ts";
import { tooLarge } from "./invalid.ts";
import type { LayerTree } from "./layer-tree.ts";
import { readLayers } from "./layers.ts";
import type { ImageConfig, ResolvedImage } from "./resolve.ts";
import { pull } from "./skopeo.ts";
import { sizeOf, tarOf } from "./tree-tar.ts";

const UNPACK_TIMEOUT_MS = 20 * 60_000;
const BLOCK_BYTES = 4096;
const TOLD_EVERY_MS = 2000;

export interface BuildImageOptions {
  image: ResolvedImage;
  config: ImageConfig;
  /** The template's name. */
  subject: string;
  /** Form of the disk, as of `WriteDiskOptions`. */
  form: RootDisk | null;
  /** File to make; its folder must exist and gets scratch files while this runs. */
  outputDisk: string;
  diskMib: number;
  /** Throws `no-space` when the host has no room for so many bytes. */
  room(bytes: number): Promise<void>;
  onProgress: OnProgress;
  signal: AbortSignal;
}

/**
 * Resolves when `outputDisk` is whole. Rejects with `build-failed`, `no-space`, `timeout`, `host-not-ready`, those of {@link pull}, or the
 * signal's reason; nothing is left behind then.
 */
export async function buildImageRootfs(options: BuildImageOptions): Promise<void> {
  const { image, subject, form, outputDisk, diskMib, room, onProgress, signal } = options;
  const scratch = await mkdtemp(join(dirname(outputDisk), ".image-"));
  const asRoot = process.getuid?.() === 0;
  try {
    const blobs = join(scratch, "blobs");
    await mkdir(blobs);
    await fetchLayers(options, blobs);
    const tree = join(scratch, "tree");
    await phase(onProgress, { subject, phase: "unpack", detail: told }, async () => {
      const paths = image.layers.map(({ digest }) => join(blobs, digest.slice("sha256:".length)));
      const read = await readLayers({
        blobs: paths,
        scratch: (n) => join(scratch, `layer-${n}`),
        diskMib,
        room,
        signal,
      });
      try {
        await rm(blobs, { recursive: true });
        complete(read.tree, options.config.defaults.workdir);
        const needed = measure(read.tree, diskMib);
        // The tree, and the disk that is made of it.
        await room(2 * needed.bytes);
        await mkdir(tree);
        await extract({ ...read, folder: tree, asRoot, signal });
        return { ...needed, devices: read.tree.devices };
      } finally {
        await Promise.all(read.layers.map((file) => file.close()));
        await Promise.all(image.layers.map((_, n) => rm(join(scratch, `layer-${n}`), { force: true })));
      }
    });
    await phase(onProgress, { subject, phase: "write the disk" }, () =>
      writeDisk({ tree, form, image: join(scratch, "disk.raw"), outputDisk, diskMib, asRoot, signal }).catch(
        (error) => {
          const lines = error instanceof EngineError ? (error.details ?? []) : [];
          throw lines.some((line) => /could not allocate/i.test(line)) ? tooLarge(lines.at(-1) ?? "") : error;
        },
      ),
    );
  } catch (error) {
    await rm(outputDisk, { force: true });
    throw error;
  } finally {
    await removeTree(scratch, asRoot);
  }
}

/** The archive is ours: each of its names is a real folder's, and none leads through a link. */
const EXTRACT_OPTIONS = [
  ...["--absolute-names", "--numeric-owner", "--same-owner", "--same-permissions"],
  ...["--xattrs", "--xattrs-include=*", "--warning=no-timestamp"],
];

/** Writes a tree into the empty folder `folder`. Rejects as {@link runStep} does. */
export async function extract(of: {
  tree: LayerTree;
  layers: readonly FileHandle[];
  folder: string;
  asRoot: boolean;
  signal: AbortSignal;
}): Promise<void> {
  const command = ["tar", "--extract", "--file=-", `--directory=${of.folder}`, ...EXTRACT_OPTIONS];
  await runStep(namespacedArgv(of.asRoot, command), {
    input: tarOf(of.tree, of.layers),
    timeoutMs: UNPACK_TIMEOUT_MS,
    signal: of.signal,
    debianPackage: "tar",
  });
}

async function fetchLayers(options: BuildImageOptions, folder: string): Promise<void> {
  const { image, config, subject, diskMib, room, onProgress, signal } = options;
  const bytes = image.layers.reduce((sum, { size }) => sum + size, 0);
  if (bytes > diskMib * 2 ** 20)
    throw tooLarge(`its layers have ${mib(bytes)} even compressed; the disk has ${diskMib} MiB`);
  const about = { subject, phase: "pull" };
  const tell = (detail: string): void => onProgress({ type: "progress", ...about, state: "output", detail });
  const unused = config.ignored.length === 0 ? "" : `; not used: ${config.ignored.join(", ")}`;
  const detail = (): string => `${image.layers.length} layers, ${mib(bytes)}${unused}`;
  await phase(onProgress, { ...about, detail }, async () => {
    let toldAt = performance.now();
    const onBytes = (now: number): void => {
      if (performance.now() - toldAt < TOLD_EVERY_MS) return;
      toldAt = performance.now();
      tell(`${mib(Math.min(now, bytes))} of ${mib(bytes)}`);
    };
    await pull({ ...image.reference, digest: image.digest }, { folder, bytes, room, onBytes, signal });
  });
}

/** Adds what the agent and common programs need, and settles what no image may settle for each machine. */
function complete(tree: LayerTree, workdir: string): void {
  for (const path of ["/proc", "/sys", "/dev", "/run", "/etc", "/var"]) tree.needFolder(path);
  tree.needFolder("/tmp", 0o1777);
  tree.needFolder("/root", 0o700);
  tree.needFolder(workdir);
  if (tree.find("/etc/passwd") === undefined) tree.setFile("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
  if (tree.find("/etc/group") === undefined) tree.setFile("/etc/group", "root:x:0:\n");
  // As in a root file system of Debian packages.
  tree.setFile("/etc/hostname", "thaw\n");
  tree.setFile("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
  tree.setFile("/etc/machine-id", "");
  tree.remove("/etc/resolv.conf");
}

/** @throws EngineError `build-failed` when the disk has no room for it */
function measure(tree: LayerTree, diskMib: number): { bytes: number; entries: number } {
  let bytes = 0;
  let entries = 0;
  for (const { inode, first } of tree.entries()) {
    entries++;
    if (first === undefined)
      bytes += inode.kind === "file" ? Math.ceil(sizeOf(inode) / BLOCK_BYTES) * BLOCK_BYTES : BLOCK_BYTES;
  }
  if (bytes > diskMib * 2 ** 20) throw tooLarge(`it needs ${mib(bytes)}; the disk has ${diskMib} MiB`);
  return { bytes, entries };
}

function told({ bytes, entries, devices }: { bytes: number; entries: number; devices: number }): string {
  return `${entries} entries, ${mib(bytes)}${devices === 0 ? "" : `, without ${devices} device nodes`}`;
}
