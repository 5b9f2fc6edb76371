/** Reruns that were started from this page. */
import type { Rerun } from "../../../api/capture.ts";
import { thaw } from "../../client.ts";
import { Value } from "../../state/value.ts";

export interface RerunState {
  count: number;
  done: number;
  failed: number;
  result?: Rerun | undefined;
  isRunning: boolean;
}

export const reruns = new Value<ReadonlyMap<string, RerunState>>(new Map());

/** The share that fails, between these bounds at 95 %: Wilson's score interval, as the daemon's. */
export function wilson(failed: number, count: number): readonly [low: number, high: number] {
  if (count === 0) return [0, 1];
  const z = 1.959964;
  const p = failed / count;
  const scale = 1 + z ** 2 / count;
  const centre = (p + z ** 2 / (2 * count)) / scale;
  const half = (z / scale) * Math.sqrt((p * (1 - p)) / count + z ** 2 / (4 * count ** 2));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/** Runs a failure's command again, and keeps count. @returns what to say of it */
export async function rerun(id: string, count: number, report: (text: string) => void): Promise<string> {
  let state: RerunState = { count, done: 0, failed: 0, isRunning: true };
  const set = (part: Partial<RerunState>): void => {
    state = { ...state, ...part };
    reruns.set((all) => new Map(all).set(id, state));
    if (state.isRunning) report(`${state.done}/${count}, failed ${state.failed}`);
  };
  set({});
  try {
    const onRun = ({ failed }: { failed: boolean }): void =>
      set({ done: state.done + 1, failed: state.failed + (failed ? 1 : 0) });
    const result = await thaw.captures.rerun(id, { count }, { onRun });
    set({ done: result.runs.length, failed: result.failed, result, isRunning: false });
    return `${result.failed} of ${result.runs.length} failed: ${result.verdict}`;
  } finally {
    set({ isRunning: false });
  }
}
