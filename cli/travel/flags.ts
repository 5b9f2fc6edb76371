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

const plainHttp = ["--plain-http", "connect to the registry without TLS (always so on loopback)"] as const;

/** Of a capture: what of it leaves its host. */
export function addPublishFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--full",
        "convert it to a full capture first: a difference can be resumed only by the QEMU build that wrote it",
      ).conflicts("diskOnly"),
    )
    .option(
      "--disk-only",
      "leave out the memory and the secrets in it: the capture can be booted and read, but not resumed",
    )
    .option(
      "--allow-secrets <kind>",
      "push although the scan found this kind of secret, e.g. private-key (may be repeated); masked secrets are never pushed",
      (kind: string, before: string[] = []) => [...before, kind],
    );
}

export function addReadFlags(command: Command): Command {
  return command
    .option(...plainHttp)
    .option(
      "--identity <file>",
      "file with age identities, to decrypt captures (default: $THAW_AGE_IDENTITY, ~/.config/thaw/identity.txt)",
    );
}

export function addEncryptFlag(command: Command): Command {
  return command.option(
    "--encrypt-to <recipient>",
    "encrypt to this age recipient, age1… (may be repeated); stores.yaml can require it",
    (recipient: string, before: string[] = []) => [...before, recipient],
  );
}

export function addWriteFlags(command: Command): Command {
  return addEncryptFlag(command.option(...plainHttp));
}
