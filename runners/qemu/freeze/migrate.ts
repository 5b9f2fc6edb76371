/** Migration of a machine's memory and devices into a second process, by QEMU. */
import { RunnerError } from "../../runner.ts";
import type { Cut } from "../disk/cut.ts";
import { asObject, type QmpClient } from "../qmp.ts";

const MIGRATE_TIMEOUT_MS = 30_000;
/** A stopped machine of many gigabytes on a slow disk. */
const STOPPED_TIMEOUT_MS = 180_000;
const DOWNTIME_MS = 30;
const BANDWIDTH_BYTES_PER_SECOND = 10 * 1024 ** 3;

export interface MigrateOptions {
  source: QmpClient;
  /** Address that the receiver listens at, as the source sees it. */
  uri: string;
  receiver: QmpClient;
  cut: Cut;
  /** A machine that changes memory faster than it can be sent is stopped after this. 0: stopped before. */
  deadlineMs: number;
  signal?: AbortSignal | undefined;
}

/**
 * Sends memory and devices to the receiver and cuts the disk at the instant at which the machine stops. On rejection the migration may be
 * under way and the machine may stand still: the caller's `cut` ends both.
 */
export async function migrate(options: MigrateOptions): Promise<{ pauseMs: number; converged: boolean }> {
  const { source, uri, receiver, cut, deadlineMs, signal } = options;
  let stoppedAt: number | undefined;
  const onStop = ({ name }: { name: string }): void => {
    if (name === "STOP") stoppedAt ??= performance.now();
  };
  let converged = true;
  let timer: NodeJS.Timeout | undefined;
  const stopAtDeadline = (): void => {
    converged = false;
    source.execute("stop").catch(() => {});
  };
  const onAbort = (): void => {
    source.execute("migrate_cancel").catch(() => {});
  };
  const timeoutMs = deadlineMs + STOPPED_TIMEOUT_MS;
  source.on("event", onStop);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const received = waitMigration(receiver, timeoutMs);
    received.catch(() => {});
    await configure(source);
    if (deadlineMs === 0) {
      converged = !cut.ranBefore;
      await cut.stop();
    }
    const ready = waitSwitchover(source, timeoutMs);
    ready.catch(() => {});
    await source.execute("migrate", { uri });
    if (deadlineMs > 0) timer = setTimeout(stopAtDeadline, deadlineMs);
    signal?.throwIfAborted();
    await ready;
    clearTimeout(timer);
    const sent = waitMigration(source, timeoutMs);
    sent.catch(() => {});
    await cut.cut();
    await source.execute("migrate-continue", { state: "pre-switchover" });
    await sent;
    const pauseMs = await cut.goOn(stoppedAt);
    await received;
    return { pauseMs, converged };
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(timer);
    source.off("event", onStop);
    signal?.removeEventListener("abort", onAbort);
  }
}

async function configure(source: QmpClient): Promise<void> {
  await source.execute("migrate-set-capabilities", {
    capabilities: [
      ...capabilities("events", "pause-before-switchover", "auto-converge"),
      { capability: "x-ignore-shared", state: false },
    ],
  });
  await source.execute("migrate-set-parameters", {
    "max-bandwidth": BANDWIDTH_BYTES_PER_SECOND,
    "downtime-limit": DOWNTIME_MS,
  });
}

async function waitSwitchover(qmp: QmpClient, timeoutMs: number): Promise<void> {
  const status = await qmp.waitEvent(
    ({ name, data }) =>
      name === "MIGRATION" &&
      ["pre-switchover", "completed", "failed", "cancelled"].includes(String(data.status))
        ? String(data.status)
        : undefined,
    { what: "the last page of memory", timeoutMs },
  );
  if (status === "pre-switchover") return;
  const reason = asObject(await qmp.execute("query-migrate").catch(() => undefined))["error-desc"];
  throw new RunnerError(
    "start-failed",
    `the machine's memory could not be copied: ${status}${reason === undefined ? "" : `, ${String(reason).slice(0, 500)}`}`,
  );
}

/** Resolves when a migration, either way, has completed. */
export async function waitMigration(qmp: QmpClient, timeoutMs = MIGRATE_TIMEOUT_MS): Promise<void> {
  const status = await qmp.waitEvent(
    (event) => {
      const status = event.name === "MIGRATION" ? event.data.status : undefined;
      return status === "completed" || status === "failed" ? status : undefined;
    },
    { what: "the end of the migration", timeoutMs },
  );
  if (status === "completed") return;
  const reason = asObject(await qmp.execute("query-migrate").catch(() => undefined))["error-desc"];
  throw new RunnerError(
    "start-failed",
    `QEMU could not move the machine's state: ${String(reason ?? "no reason given")}`,
  );
}

/** Argument of `migrate-set-capabilities` that turns these on. */
export function capabilities(...names: string[]): { capability: string; state: boolean }[] {
  return names.map((capability) => ({ capability, state: true }));
}
