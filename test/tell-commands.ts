/** Adds to a failed test's message what the commands it ran last wrote to stderr: a report may be all that is left of a run. */
import { afterEach, beforeEach } from "vitest";
import { takeCommands } from "./helpers/commands.ts";

beforeEach(() => {
  takeCommands();
});

afterEach(({ task }) => {
  const [error] = task.result?.errors ?? [];
  const commands = takeCommands();
  if (error === undefined || commands.length === 0) return;
  error.stack = `${error.stack ?? error.message}\nthe last commands:\n${commands.join("\n")}`;
});
