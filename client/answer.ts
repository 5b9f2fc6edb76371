import { ThawError } from "./errors.ts";

/** The daemon refuses to serve a client that is newer than itself. */
export class OlderDaemon extends ThawError {}

/** The daemon is about to end, and does not take requests any more. */
export class DaemonLeaving extends ThawError {}

/** What answers at the daemon's socket is something else, or damaged on its way. */
export class NotThaw extends ThawError {
  /** @param how a clause: `its answer is not JSON: <html>` */
  constructor(how: string, options: { cause?: unknown } = {}) {
    super("daemon-unreachable", `what answers is not thaw's daemon: ${how}`, {
      hint: "thaw daemon status shows the socket; THAW_SOCKET sets another",
      ...options,
    });
  }
}

/** The daemon's answer ended before it was whole. */
export class HalfAnswer extends ThawError {
  constructor() {
    super("daemon-unreachable", "the daemon's answer ended too early", { hint: "thaw daemon logs" });
  }
}

function isApiError(body: unknown): boolean {
  return typeof (body as { error?: { message?: unknown } } | null)?.error?.message === "string";
}

/** How an answer begins, however it came. */
export interface AnswerHead {
  status: number;
  header: (name: string) => string | null | undefined;
}

/** @throws ThawError of an answer of 400 or more; {@link OlderDaemon} for 426, {@link DaemonLeaving} for 503 without an error of the API. */
export async function throwAnswer(
  head: AnswerHead,
  {
    readJson,
    describeOtherVersion,
  }: {
    readJson: () => Promise<unknown>;
    /** Of a daemon that does not know the path, where client and daemon are of different versions. */
    describeOtherVersion: (error: ThawError, head: AnswerHead) => ThawError;
  },
): Promise<never> {
  const { status } = head;
  const body = await readJson().catch(() => null);
  // A daemon that leaves answers 503 without a body of its own.
  if (status !== 503 && !isApiError(body))
    throw new NotThaw(`it answered ${status} without an error of thaw's`);
  const error = ThawError.fromApi(body, `the daemon answered ${status}`);
  if (typeof head.header("thaw-no-route") === "string") throw describeOtherVersion(error, head);
  if (status === 503 && error.code === "internal")
    throw new DaemonLeaving("daemon-unreachable", "the daemon is stopping", { hint: "thaw daemon logs" });
  if (status !== 426) throw error;
  throw new OlderDaemon("daemon-mismatch", error.message, {
    hint: error.hint ?? "thaw daemon stop; thaw daemon start",
  });
}
