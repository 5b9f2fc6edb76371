/** A command in a guest that is being built. vitest reports every rejection that nobody handles. */
import { expect, test } from "vitest";
import { runGuestStep } from "../../engine/templates/guest-step.ts";
import type { Agent } from "../../runners/agent/agent.ts";

test("aborted before the agent has answered, it fails once, by what the agent says", async () => {
  const asked = Promise.withResolvers<never>();
  const agent = { start: () => asked.promise } as unknown as Agent;
  const abort = new AbortController();
  const step = runGuestStep(agent, { name: "warm", run: "true", env: {} }, () => {}, abort.signal);
  abort.abort();
  await new Promise((resolve) => setImmediate(resolve));
  asked.reject(new Error("the session ended"));
  await expect(step).rejects.toThrow("the session ended");
});
