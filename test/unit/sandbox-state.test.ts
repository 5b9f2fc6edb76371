import fc from "fast-check";
import { expect, test } from "vitest";
import { SANDBOX_STATES, type SandboxState } from "../../api/closed-lists.ts";
import { EngineError } from "../../engine/errors.ts";
import { labelsMatch } from "../../engine/sandboxes/labels.ts";
import {
  allowedVerbs,
  allows,
  checkTransition,
  checkVerb,
  isLive,
  mayFollow,
  verbs,
} from "../../engine/sandboxes/state.ts";

const states = fc.constantFrom(...SANDBOX_STATES);

test("the table of transitions", () => {
  const table = SANDBOX_STATES.map(
    (from) => `${from}: ${SANDBOX_STATES.filter((to) => mayFollow(from, to))}`,
  );
  expect(table).toEqual([
    "creating: running,failed,removing",
    "running: paused,unresponsive,stopped,failed,removing",
    "paused: running,unresponsive,stopped,failed,removing",
    "unresponsive: running,paused,stopped,failed,removing",
    "stopped: removing",
    "failed: removing",
    "removing: removed",
    "removed: ",
  ]);
});

test("what is over never lives again; everything can be removed, once", () => {
  fc.assert(
    fc.property(fc.array(states, { maxLength: 12 }), (wanted) => {
      let state = "creating" as SandboxState;
      const path = [state];
      for (const to of wanted) {
        if (!mayFollow(state, to)) {
          expect(() => checkTransition("web", state, to)).toThrow(`it is ${state}`);
          continue;
        }
        checkTransition("web", state, to);
        state = to;
        path.push(to);
      }
      const lives = path.map(isLive);
      expect(lives.lastIndexOf(true)).toBeLessThan(
        lives.includes(false) ? lives.indexOf(false) : path.length,
      );
      expect(path.filter((one) => one === "removed").length).toBeLessThanOrEqual(1);
      expect(mayFollow(state, "removing")).toBe(state !== "removing" && state !== "removed");
    }),
  );
});

test("a refused verb says the state, why, and what it allows", () => {
  const record = { name: "web", state: "failed" as const, reason: "its kernel panicked" };
  expect(() => checkVerb("pause", record)).toThrow(
    "can't pause sandbox web: it is failed (its kernel panicked); failed allows: extend, rm",
  );
  for (const state of SANDBOX_STATES) {
    for (const verb of verbs) {
      const check = (): void => checkVerb(verb, { name: "web", state, reason: null });
      if (allows(state, verb)) expect(check).not.toThrow();
      else
        expect(check).toThrow(
          expect.objectContaining({ code: "conflict", message: expect.stringContaining(`it is ${state}`) }),
        );
    }
  }
  expect(allowedVerbs("removed")).toEqual([]);
  expect(() => checkVerb("rm", { name: "web", state: "removed", reason: null })).toThrow(EngineError);
});

test("what is stopped comes back only when it is frozen", () => {
  expect([mayFollow("stopped", "running"), mayFollow("stopped", "running", true)]).toEqual([false, true]);
  expect([mayFollow("failed", "running", true), mayFollow("stopped", "paused")]).toEqual([false, false]);
  const record = { name: "web", state: "stopped" as const, reason: null };
  expect(() => checkVerb("exec", { ...record, frozen: {} })).not.toThrow();
  expect(() => checkVerb("exec", { ...record, frozen: null })).toThrow("stopped allows: extend, rm");
  expect(() => checkVerb("pause", { ...record, frozen: {} })).toThrow(
    "it is stopped; frozen allows: exec, files, resume, extend, rm",
  );
});

test("labels fit selectors", () => {
  const labels = { repo: "shop", pr: "4=12" };
  expect(labelsMatch(labels, [])).toBe(true);
  expect(labelsMatch(labels, ["repo", "pr=4=12"])).toBe(true);
  expect(labelsMatch(labels, ["repo=shop", "branch"])).toBe(false);
  expect(labelsMatch(labels, ["constructor"])).toBe(false);
  expect(labelsMatch(labels, ["repo="])).toBe(false);
});
