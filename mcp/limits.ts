/** How much of anything one call takes, makes or tells. docs/MCP.md has them in words. */

/** Of output, a log or a file in one answer; what is beyond it is read on with `offset`. */
export const PAGE_BYTES = 16_384;
/** Of a file that is read in one call, at most. */
export const MAX_PAGE_BYTES = 65_536;
/** Of a file that is written in one call, and of a patch. */
export const MAX_WRITE_BYTES = 1 << 20;
/** How far into an output `offset` may point. */
export const MAX_OFFSET = 2 ** 40;
/** The same of a file: what lies before is read too. */
export const MAX_FILE_OFFSET = 2 ** 30;

/** Everything that is made is removed after its time to live. */
export const TTL_MINUTES = { default: 60, most: 240 } as const;
/** Captures of new failures that a rerun makes are kept this long. */
export const CAPTURE_HOURS = { default: 24, most: 168 } as const;

export const MAX_FORKS = 10;
export const RERUNS = { default: 5, most: 50 } as const;
/** Of how many runs at a time. */
export const JOBS = { default: 2, most: 10 } as const;

/** How long `exec` waits for a command before it answers that it still runs. Agents often wait a minute for an answer. */
export const WAIT_SECONDS = { default: 45, most: 600 } as const;
/** How long a command may run. */
export const TIMEOUT_SECONDS = { default: 600, most: 3600 } as const;
/** How long a new sandbox waits for room on the host. */
export const ROOM_WAIT_MS = 60_000;

/** How long is waited for what is stopped or removed when a call was cancelled or has failed. */
export const CLEANUP_MS = 20_000;

/** In an error. */
export const MAX_ERROR_CHARS = 2000;
export const MAX_ERROR_DETAILS = 20;
