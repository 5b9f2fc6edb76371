import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { findConfigFolder, ThawError } from "../../client/index.ts";

/** The key pair with which this user's ssh enters sandboxes, and nothing else. */
export interface SshKey {
  /** Path of the private half. */
  identityFile: string;
  /** `ssh-ed25519 AAAA…`. */
  publicKey: string;
}

const KEY_DEADLINE_MS = 30_000;
const PUBLIC_KEY_PATTERN = /^ssh-ed25519 [A-Za-z0-9+/]{60,80}={0,2}/;

/** Makes the pair in a folder of its own and renames that into place: there is a whole one, or none. */
async function makeKey(folder: string, config: string): Promise<void> {
  mkdirSync(config, { recursive: true, mode: 0o700 });
  const temporary = mkdtempSync(join(config, ".ssh-"));
  try {
    const file = join(temporary, "id_ed25519");
    await promisify(execFile)("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "thaw", "-f", file], {
      timeout: KEY_DEADLINE_MS,
    });
    renameSync(temporary, folder);
  } catch (error) {
    // somebody else's came first
    if (!existsSync(join(folder, "id_ed25519"))) throw error;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** Finds the pair; makes it the first time. @throws ThawError `host-not-ready`. */
export async function findSshKey(): Promise<SshKey> {
  const config = findConfigFolder();
  const folder = join(config, "ssh");
  const identityFile = join(folder, "id_ed25519");
  try {
    if (!existsSync(identityFile)) await makeKey(folder, config);
    const [publicKey] = PUBLIC_KEY_PATTERN.exec(readFileSync(`${identityFile}.pub`, "utf8")) ?? [];
    if (publicKey === undefined) throw new Error(`${identityFile}.pub is not a public key made by thaw`);
    return { identityFile, publicKey };
  } catch (error) {
    throw new ThawError("host-not-ready", `can't make a key for ssh: ${(error as Error).message}`, {
      hint: `sudo apt-get install openssh-client; if ${folder} is damaged, remove it: thaw makes a new key`,
      cause: error,
    });
  }
}
