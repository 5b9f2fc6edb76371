/** Where things live under `$THAW_HOME`. Nothing else knows a path. */
import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Probe } from "../runners/runner.ts";
import { EngineError } from "./errors.ts";

export interface Home {
  root: string;
  kernels: string;
  snapshots: string;
  tags: string;
  sandboxes: string;
  captures: string;
  /** Layers with the cached folders of runs. One folder each, until it is whole. */
  caches: string;
  /** Snapshots and captures that come in from elsewhere. One folder each, until it is whole. */
  imports: string;
  /** What reruns have found so far. One file a request. */
  reruns: string;
  /** Parts of snapshots, compressed to travel. */
  wire: string;
  /** Snapshots being made. One folder a machine, named by its id. */
  builds: string;
  /** Machines as they were after steps of templates. */
  steps: string;
  /** What templates fetch, by digest. */
  downloads: string;
  /** Root file systems by digest of what went into them. */
  rootfs: string;
  /** Indexes of Debian's suites, as they were last fetched. */
  packages: string;
  audit: string;
  events: string;
  /** Who may use the daemon's listener. */
  tokens: string;
  /** The operator's. */
  config: string;
  /** The last reading of the host's clocks. */
  clock: string;
  /** When a daemon last lived. */
  heartbeat: string;
}

/**
 * Makes the folders. Throws `host-not-ready` when the state folder can't be written. On a file system that is read-only what is there is
 * opened all the same: a disk with errors is remounted so, and its daemon still has to list what there is.
 */
export function openHome(root: string): Home {
  const home: Home = {
    root,
    kernels: join(root, "kernels"),
    snapshots: join(root, "snapshots"),
    tags: join(root, "tags"),
    sandboxes: join(root, "sandboxes"),
    captures: join(root, "captures"),
    caches: join(root, "caches"),
    imports: join(root, "imports"),
    reruns: join(root, "reruns"),
    wire: join(root, "wire"),
    builds: join(root, "builds"),
    steps: join(root, "steps"),
    downloads: join(root, "downloads"),
    rootfs: join(root, "rootfs"),
    packages: join(root, "packages"),
    audit: join(root, "audit.jsonl"),
    events: join(root, "events.jsonl"),
    tokens: join(root, "tokens.json"),
    config: join(root, "config.yaml"),
    clock: join(root, "clock.json"),
    heartbeat: join(root, "heartbeat"),
  };
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 });
    for (const dir of [
      ...[home.kernels, home.snapshots, home.tags, home.sandboxes],
      ...[
        home.captures,
        home.caches,
        home.imports,
        home.reruns,
        home.wire,
        home.builds,
        home.rootfs,
        home.steps,
        home.downloads,
        home.packages,
      ],
    ])
      mkdirSync(dir, { recursive: true });
    accessSync(root, constants.W_OK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EROFS") return home;
    throw new EngineError(
      "host-not-ready",
      `the state folder ${root} can't be written: ${(error as Error).message}`,
      {
        hint: "set THAW_HOME to a folder that you own",
        cause: error,
      },
    );
  }
  return home;
}

/** The line of `thaw doctor` for a state folder that can be read and not written. */
export function homeProbes({ root }: Home): Probe[] {
  try {
    accessSync(root, constants.W_OK);
    return [];
  } catch (error) {
    const detail = `${root} can't be written: ${(error as Error).message}`;
    const hint = `what there is can be listed; nothing is made or changed. findmnt -T ${root}; dmesg`;
    return [{ name: "state", state: "missing", fatal: true, detail, hint }];
  }
}
