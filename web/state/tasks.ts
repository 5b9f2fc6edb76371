/** What was started from this page, and how it went. */
import { troubleOf } from "../../client/follow/state.ts";
import { sessionEnded } from "./session.ts";
import { Value } from "./value.ts";

export interface Task {
  id: number;
  title: string;
  /** The words behind `thaw` that do the same. */
  args: readonly string[];
  state: "running" | "done" | "failed";
  startedAt: number;
  endedAt?: number;
  /** How far it is, what came of it, or why it failed. */
  text: string;
  hint?: string | undefined;
}

const KEPT = 100;
export const tasks = new Value<readonly Task[]>([]);
let lastId = 0;

export interface TaskRequest {
  title: string;
  args: readonly string[];
  /** @param report says how far it is. @returns what came of it */
  run: (report: (text: string) => void) => Promise<string>;
}

/** Starts something. Never throws: what came of it is in the list. @returns whether it went well */
export async function startTask({ title, args, run }: TaskRequest): Promise<boolean> {
  const id = ++lastId;
  const change = (part: Partial<Task>): void =>
    tasks.set((all) => all.map((task) => (task.id === id ? { ...task, ...part } : task)));
  const task: Task = { id, title, args, state: "running", startedAt: Date.now(), text: "" };
  tasks.set((all) => [task, ...all].slice(0, KEPT));
  try {
    const text = await run((report) => change({ text: report }));
    change({ state: "done", text, endedAt: Date.now() });
    return true;
  } catch (error) {
    const { message, hint, code } = troubleOf(error);
    if (code === "not-authenticated") sessionEnded();
    change({ state: "failed", text: message, hint, endedAt: Date.now() });
    return false;
  }
}
