/** Words of which there is a closed list. Plain data, so that a client can check a word without loading the schemas. */

/** States of a sandbox. `removed` is seen only while it is removed. */
export const sandboxStates = [
  "creating",
  "running",
  "paused",
  "unresponsive",
  "stopped",
  "failed",
  "removing",
  "removed",
] as const;
export type SandboxState = (typeof sandboxStates)[number];

export const isolations = ["kvm", "emulated (jailed)", "emulated (not jailed)"] as const;
export type Isolation = (typeof isolations)[number];

/** Ends of an exec that a capture can be asked for. `cancel`: its client gave up or went away. */
export const captureTriggers = ["exit", "signal", "timeout", "oom", "panic", "cancel"] as const;
export type CaptureTrigger = (typeof captureTriggers)[number];

/** What a capture was taken for. `manual`: somebody asked for it. */
export const triggers = [...captureTriggers, "manual"] as const;
export type Trigger = (typeof triggers)[number];

/** Best first. `memory`: it goes on where it stopped. `disk`: its disk is booted. `files`: its files are read. */
export const replayLevels = ["memory", "disk", "files"] as const;
export type ReplayLevel = (typeof replayLevels)[number];

export const fileTypes = ["file", "dir", "symlink", "fifo", "socket", "block", "char"] as const;
export type FileType = (typeof fileTypes)[number];

/** What happens to destinations that no rule names. `audit`: as `open`, and each is noted. Private ranges stay closed in all of them. */
export const networkModes = ["none", "open", "audit"] as const;
