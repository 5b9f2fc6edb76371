/** Numbers of the agent protocol (docs/PROTOCOL.md). `guest/protocol.json` is the one source; the agent is built from it too. */
import protocol from "../../guest/protocol.json" with { type: "json" };

export const VERSION = protocol.version;
export const OLDEST_VERSION = protocol.oldestVersion;
export const MAGIC = protocol.magic;
export const TRAILER = protocol.trailer;
export const HEADER_BYTES = protocol.headerBytes;
export const MAX_PAYLOAD_BYTES = protocol.maxPayloadBytes;
/** The largest frame: what a run of zero bytes must cover to complete any half frame. */
export const MAX_FRAME_BYTES = HEADER_BYTES + MAX_PAYLOAD_BYTES + 1;
export const STREAM_WINDOW_BYTES = protocol.streamWindowBytes;
export const UPLOAD_WINDOW_BYTES = protocol.uploadWindowBytes;
export const EXEC_WINDOW_BYTES = protocol.execWindowBytes;
export const FRAME = protocol.frameTypes;
export const CHANNEL = protocol.channels;
export const MAX_STREAMS = protocol.maxStreams;

export type Channel = 0 | 1 | 2;
export type OutputChannel = 1 | 2;
