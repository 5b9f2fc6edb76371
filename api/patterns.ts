/** What names look like. Plain expressions, so that a client can check a name without loading the schemas. */

/** A name of a template or a context. */
export const NAME_PATTERN = /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/;

/** A new sandbox's name, which becomes its hostname. What names a capture names no sandbox: `thaw cp` reads both. */
export const sandboxNamePattern =
  /^(?!latest$|(?:fail|capture)-[a-z0-9]{4,20}$)[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/;

/** A sandbox's name in words. */
export const SANDBOX_NAME_PHRASE =
  "lower-case letters, digits and dashes between them, at most 40; not latest, fail-ID or capture-ID, which name captures";

/** `name` or `name:version`, as in `node:24`. */
export const TAG_PATTERN = /^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?(:[A-Za-z0-9_][A-Za-z0-9._-]{0,62})?$/;

/** `NAME`, `UID`, `NAME:GROUP` or `UID:GID`; 128 characters at most. */
export const USER_PATTERN = /^(?=.{1,128}$)[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$/;

export const RUNNER_PATTERN = /^[a-z][a-z0-9-]{0,19}$/;

/** A runner's name in words. */
export const RUNNER_PHRASE = "the name of a runner, such as qemu or gvisor";

/** The client's id of a request that creates something, and of an exec. */
export const REQUEST_ID_PATTERN = /^[a-z0-9-]{1,40}$/;

export const CAPTURE_ID_PATTERN = /^(fail|capture)-[a-z0-9]{4,20}$/;

export const SNAPSHOT_ID_PATTERN = /^[0-9a-f]{16}$/;

/** SHA-256, in hex. */
export const DIGEST_PATTERN = /^[0-9a-f]{64}$/;
