/** Channels of the WebSocket protocol: the first byte of every message, as in Kubernetes' remote command protocol. */
export const channel = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4, close: 255 } as const;

/** A record of an exec's log: u8 channel, 3 × 0, u32 length, u64 time in ms, u64 offset; little-endian. */
export const LOG_RECORD_HEADER_BYTES = 24;

/** Close codes: of the registry of RFC 6455. */
export const closeCode = { normal: 1000, broken: 1006, restart: 1012, tooSlow: 1013 } as const;
