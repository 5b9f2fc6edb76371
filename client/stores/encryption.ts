/**
 * Encryption to age recipients. Every layer is an age file of its own, which the `age` program opens too. What a host sees of it is opened:
 * keys stay with the client.
 */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { ThawError } from "../errors.ts";

type Environment = Record<string, string | undefined>;
const IDENTITY_PATTERN = /^AGE-SECRET-KEY-(PQ-)?1[0-9A-Z]+$/;

export interface Encryption {
  /** Sorted, each once. */
  recipients: readonly string[];
  encrypt(bytes: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>>;
}

/** @throws ThawError `usage` for what is no recipient. */
export async function encryptTo(recipients: readonly string[]): Promise<Encryption | undefined> {
  const each = [...new Set(recipients)].sort();
  if (each.length === 0) return undefined;
  const { Encrypter } = await import("age-encryption");
  const encrypter = new Encrypter();
  for (const recipient of each) {
    try {
      encrypter.addRecipient(recipient);
    } catch (error) {
      const hint = "age-keygen makes a key pair; the recipient is its public key, age1…";
      throw new ThawError("usage", `${recipient.slice(0, 80)} is not an age recipient`, {
        hint,
        cause: error,
      });
    }
  }
  return { recipients: each, encrypt: (bytes) => encrypter.encrypt(ReadableStream.from(bytes)) };
}

/** Opens what was encrypted. @throws ThawError `usage`, `store-denied`. */
export type Decrypt = (bytes: AsyncIterable<Uint8Array>) => AsyncGenerator<Buffer, void>;

/** With the identities of `file`, else of `THAW_AGE_IDENTITY` (a file), else of `~/.config/thaw/identity.txt`. */
export async function decryptWith(
  file: string | undefined,
  where: string,
  env: Environment = process.env,
): Promise<Decrypt> {
  const config = env.XDG_CONFIG_HOME || join(env.HOME || homedir(), ".config");
  const path = file ?? (env.THAW_AGE_IDENTITY || join(config, "thaw", "identity.txt"));
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new ThawError(
      "usage",
      `${where} is encrypted, and the identity file can't be read: ${path}: ${error.code}`,
      {
        hint: "give the file of a matching age identity: --identity FILE",
        cause: error,
      },
    );
  });
  const identities = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (identities.length === 0 || !identities.every((line) => IDENTITY_PATTERN.test(line)))
    throw new ThawError("usage", `${path} is not a file of age identities`, {
      hint: "age-keygen -o identity.txt",
    });
  const { Decrypter } = await import("age-encryption");
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  return async function* (bytes) {
    try {
      for await (const chunk of await decrypter.decrypt(ReadableStream.from(bytes))) yield Buffer.from(chunk);
    } catch (error) {
      if (error instanceof ThawError) throw error;
      const { cause } = error as Error;
      if (cause instanceof ThawError) throw cause;
      const why = /no identity matched/i.test(String(error))
        ? `it is not encrypted to the key in ${path}`
        : (error as Error).message;
      throw new ThawError("store-denied", `${where} can't be decrypted: ${why}`, {
        hint: "--identity FILE",
        cause: error,
      });
    }
  };
}
