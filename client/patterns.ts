/** A sandbox's name, which becomes its hostname. */
export const sandboxNamePattern = /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/;

/** `NAME`, `UID`, `NAME:GROUP` or `UID:GID`; 128 characters at most. */
export const userPattern = /^(?=.{1,128}$)[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$/;
