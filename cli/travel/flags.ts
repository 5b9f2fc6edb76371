import type { Command } from "commander";

/** Of whatever reads a store. */
export interface ReadFlags {
  plainHttp?: boolean;
  /** A file of age identities. */
  identity?: string;
}

/** Of whatever writes one. */
export interface WriteFlags {
  plainHttp?: boolean;
  encryptTo?: string[];
  full?: boolean;
}

const plainHttp = ["--plain-http", "speak to the registry without TLS (of itself only on loopback)"] as const;

export function addReadFlags(command: Command): Command {
  return command
    .option(...plainHttp)
    .option(
      "--identity <file>",
      "age identities for what is encrypted (default: $THAW_AGE_IDENTITY, ~/.config/thaw/identity.txt)",
    );
}

export function addEncryptFlag(command: Command): Command {
  return command.option(
    "--encrypt-to <recipient>",
    "an age recipient, age1… (may be repeated); stores.yaml may ask for it always",
    (recipient: string, before: string[] = []) => [...before, recipient],
  );
}

export function addWriteFlags(command: Command): Command {
  return addEncryptFlag(command.option(...plainHttp));
}
