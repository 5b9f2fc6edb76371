/** The ends of a command that a capture can be asked for. */
export const captureTriggers = ["exit", "signal", "timeout", "oom", "panic", "cancel"] as const;
export type CaptureTrigger = (typeof captureTriggers)[number];
