/** The output of a command as it comes, bounded in speed and length. */
import { useEffect, useState } from "react";
import { formatEnd } from "../../../api/ending.ts";
import { type Trouble, troubleOf } from "../../../client/follow/state.ts";
import { pause } from "../../../client/pause.ts";
import { thaw } from "../../client.ts";
import { Tail } from "../../parts/tail.ts";

/** Lines that are read of what there is, and that are kept of what comes. */
const KEPT = 1000;
/** When a command writes more than this in such a time, its output is read anew from its end. */
const FLOOD = { bytes: 1 << 20, withinMs: 200 };
const FLOOD_PAUSE_MS = 2000;
/** The lines are drawn this often at most. */
const DRAW_MS = 100;

export interface Log {
  lines: readonly string[];
  /** How it ended; undefined: it has not. */
  end?: string | undefined;
  remark?: string | undefined;
  trouble?: Trouble | undefined;
}

interface Followed {
  sandbox: string;
  exec: string;
}

async function followLog(
  { sandbox, exec }: Followed,
  set: (log: Log) => void,
  signal: AbortSignal,
): Promise<void> {
  const at = thaw.sandboxes.at(sandbox).execAt(exec);
  let remark: string | undefined;
  for (;;) {
    const tail = new Tail(KEPT);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = (part: Partial<Log> = {}): void => {
      clearTimeout(timer);
      timer = undefined;
      if (!signal.aborted) set({ lines: tail.lines, remark, ...part });
    };
    try {
      const info = await at.get({ signal });
      // a command that has ended writes no more: its last lines are read whole
      const mayFlood = info.state === "running" || info.state === "starting";
      let window = { since: performance.now(), bytes: 0 };
      let isFlood = false;
      draw();
      for await (const chunk of at.logs({ tail: KEPT, follow: true, signal })) {
        if (!("data" in chunk)) {
          tail.add("… earlier output is no longer kept");
          continue;
        }
        tail.push(chunk.data);
        timer ??= setTimeout(draw, DRAW_MS);
        const now = performance.now();
        if (now - window.since > FLOOD.withinMs) window = { since: now, bytes: 0 };
        window.bytes += chunk.data.length;
        isFlood = mayFlood && window.bytes > FLOOD.bytes;
        if (isFlood) break;
      }
      if (!isFlood) {
        const { exit, error } = await at.get({ signal });
        return draw({ end: error?.message ?? formatEnd(exit), remark: undefined });
      }
      remark = "Output comes faster than it can be shown; this is what it wrote last.";
      draw();
    } finally {
      clearTimeout(timer);
    }
    await pause(FLOOD_PAUSE_MS, signal);
  }
}

/** A command's output, followed for as long as the component is there. */
export function useLog({ sandbox, exec }: Followed): Log {
  const [log, setLog] = useState<Log>({ lines: [] });
  useEffect(() => {
    const abort = new AbortController();
    setLog({ lines: [] });
    followLog({ sandbox, exec }, setLog, abort.signal).catch((error: unknown) => {
      if (!abort.signal.aborted) setLog((before) => ({ ...before, trouble: troubleOf(error) }));
    });
    return () => abort.abort();
  }, [sandbox, exec]);
  return log;
}
