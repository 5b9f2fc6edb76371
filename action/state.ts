/** What the post step needs to know of the main step, saved as soon as there is something to clean up. */
import { getState, saveState } from "@actions/core";

/** What a step has made. */
export interface StepState {
  /** Its id. */
  sandbox: string;
  /** A command in the sandbox of an earlier step. */
  exec?: string;
  /** What becomes of the sandbox. `leave`: it is an earlier step's, or outlives the job. */
  fate: "remove" | "leave";
  /** The step came to its end by itself. */
  over: boolean;
}

const KEY = "thaw";

export function saveStepState(state: StepState): void {
  saveState(KEY, JSON.stringify(state));
}

/** Undefined when nothing was made. */
export function readStepState(): StepState | undefined {
  const text = getState(KEY);
  return text === "" ? undefined : (JSON.parse(text) as StepState);
}
