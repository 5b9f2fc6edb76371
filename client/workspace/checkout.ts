import { realpathSync } from "node:fs";
import { dirname } from "node:path";
import { ThawError } from "../errors.ts";
import { SourceFolder } from "../tree/source-folder.ts";
import { type GitSetting, lastValue } from "./git-config.ts";
import {
  allSettings,
  placeIn,
  type Repository,
  readRepository,
  releaseRepository,
  Unusable,
} from "./repository.ts";

/** What a checkout says of where its code comes from. Every text is the repository's, not to be trusted. */
export interface Checkout {
  /** The folder with `.git`. */
  folder: string;
  /** undefined: HEAD is detached. */
  branch: string | undefined;
  /** Remotes in the order of the configuration. */
  remotes: { name: string; url: string }[];
  /** Where the branch is pushed: a remote's name, or a URL. */
  pushRemote: string | undefined;
  /** The ref that the branch follows on its remote, such as `refs/heads/main` or `refs/pull/7/head`. */
  follows: string | undefined;
}

const MAX_HEAD_BYTES = 4096;
const MAX_REMOTES = 20;

function toText(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString("utf8");
}

function readBranch({ gitDir }: Repository): string | undefined {
  const head = placeIn(gitDir, "HEAD");
  const isLink = head.folder.stat(head.path)?.isSymbolicLink() === true;
  const text = isLink
    ? `ref: ${head.folder.readLink(head.path).toString("latin1")}`
    : (head.folder.read(head.path, MAX_HEAD_BYTES)?.toString("latin1") ?? "");
  const name = /^ref:\s*refs\/heads\/(.+?)\s*$/s.exec(text)?.[1];
  // With reftables, HEAD is a file for old versions of git.
  return name === undefined || name === ".invalid" ? undefined : toText(name);
}

function readRemotes(settings: readonly GitSetting[]): Checkout["remotes"] {
  const found = new Map<string, string>();
  for (const { key, value } of settings) {
    const name = /^remote\.(.+)\.url$/s.exec(key)?.[1];
    // The first URL is the one that is fetched from.
    if (name !== undefined && !found.has(name) && found.size < MAX_REMOTES) found.set(name, toText(value));
  }
  return [...found].map(([name, url]) => ({ name: toText(name), url }));
}

function describe(repository: Repository, folder: string): Checkout {
  const settings = allSettings(repository);
  const branch = readBranch(repository);
  const key = `branch.${Buffer.from(branch ?? "").toString("latin1")}`;
  const names = branch === undefined ? [] : [`${key}.pushremote`, "remote.pushdefault", `${key}.remote`];
  const pushRemote = names.map((name) => lastValue(settings, name)).find((value) => value !== undefined);
  const follows = branch === undefined ? undefined : lastValue(settings, `${key}.merge`);
  return {
    ...{ folder, branch, remotes: readRemotes(settings) },
    pushRemote: pushRemote === undefined ? undefined : toText(pushRemote),
    follows: follows === undefined ? undefined : toText(follows),
  };
}

/**
 * The checkout that a folder lies in, read without git: nothing that its configuration names is run or included.
 * @returns undefined when it lies in none
 * @throws ThawError `usage` when there is a `.git` that can't be used
 */
export function findCheckout(from: string): Checkout | undefined {
  for (let at = realpathSync(from); ; at = dirname(at)) {
    const folder = new SourceFolder(at);
    try {
      const repository = readRepository({ folder, path: Buffer.alloc(0) }, { index: false });
      if (repository instanceof Unusable) {
        if (!repository.invalid)
          throw new ThawError("usage", `can't read the repository: ${repository.message}`, {
            hint: repository.hint,
          });
      } else if (repository !== undefined) {
        const checkout = describe(repository, at);
        releaseRepository(repository);
        return checkout;
      }
    } finally {
      folder.release();
    }
    if (at === "/") return undefined;
  }
}
