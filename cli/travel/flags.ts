import { type Command, Option } from "commander";

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
  diskOnly?: boolean;
  allowSecrets?: string[];
}

const plainHttp = ["--plain-http", "speak to the registry without TLS (of itself only on loopback)"] as const;

/** Of a capture: what of it leaves its host. */
export function addPublishFlags(command: Command): Command {
  return command
    .addOption(
      new Option("--full", "make it whole first: a difference resumes on its own QEMU build only").conflicts(
        "diskOnly",
      ),
    )
    .option(
      "--disk-only",
      "leave its memory out, and the secrets there: it can be booted and read, not resumed",
    )
    .option(
      "--allow-secrets <kind>",
      "what was found by that shape is no secret, e.g. private-key (may be repeated); not for what was masked",
      (kind: string, before: string[] = []) => [...before, kind],
    );
}

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
