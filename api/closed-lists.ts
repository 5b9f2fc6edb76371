/** Words of which there is a closed list. Plain data, so that a client can check a word without loading the schemas. */

/** States of a sandbox. `removed` is seen only while it is removed. */
export const SANDBOX_STATES = [
  "creating",
  "running",
  "paused",
  "unresponsive",
  "stopped",
  "failed",
  "removing",
  "removed",
] as const;
export type SandboxState = (typeof SANDBOX_STATES)[number];

export const ISOLATIONS = ["kvm", "gvisor", "emulated (jailed)", "emulated (not jailed)"] as const;
export type Isolation = (typeof ISOLATIONS)[number];

/** Ends of an exec that a capture can be asked for. `cancel`: its client gave up or went away. */
export const CAPTURE_TRIGGERS = ["exit", "signal", "timeout", "oom", "panic", "cancel"] as const;
export type CaptureTrigger = (typeof CAPTURE_TRIGGERS)[number];

/** What a capture was taken for. `manual`: somebody asked for it. */
export const TRIGGERS = [...CAPTURE_TRIGGERS, "manual"] as const;
export type Trigger = (typeof TRIGGERS)[number];

/** Best first. `memory`: it goes on where it stopped. `disk`: its disk is booted. `files`: its files are read. */
export const REPLAY_LEVELS = ["memory", "disk", "files"] as const;
export type ReplayLevel = (typeof REPLAY_LEVELS)[number];

export const FILE_TYPES = ["file", "dir", "symlink", "fifo", "socket", "block", "char"] as const;
export type FileType = (typeof FILE_TYPES)[number];

/** What happens to destinations that no rule names. `audit`: as `open`, and each is noted. Private ranges stay closed in all of them. */
export const networkModes = ["none", "open", "audit"] as const;
