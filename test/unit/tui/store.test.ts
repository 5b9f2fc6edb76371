import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AgeClock } from "../../../cli/tui/clock.ts";
import { newState } from "../../../cli/tui/state/state.ts";
import { Store } from "../../../cli/tui/state/store.ts";
import { sandbox } from "./world.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("changes share a drawing; what a key changes does not wait for theirs, and keys that come at once share one too", () => {
  const store = new Store(newState(["local"], { cols: 80, rows: 24 }, 0));
  const told = vi.fn();
  store.subscribe(told);
  store.set({ nowMs: 1 });
  vi.advanceTimersByTime(1);
  expect(told).toHaveBeenCalledTimes(1);
  for (let nowMs = 2; nowMs < 12; nowMs++) store.set({ nowMs });
  vi.advanceTimersByTime(20);
  expect(told).toHaveBeenCalledTimes(1);
  store.hurry();
  vi.advanceTimersByTime(1);
  expect(told).toHaveBeenCalledTimes(2);
  for (let nowMs = 20; nowMs < 30; nowMs++) {
    store.set({ nowMs });
    store.hurry();
  }
  vi.advanceTimersByTime(10);
  expect(told).toHaveBeenCalledTimes(3);
  vi.advanceTimersByTime(100);
  store.hurry();
  vi.advanceTimersByTime(100);
  expect(told).toHaveBeenCalledTimes(3);
});

test("a host that stays as it is is not drawn anew", () => {
  const store = new Store(newState(["local"], { cols: 80, rows: 24 }, 0));
  const told = vi.fn();
  store.subscribe(told);
  store.setHost("local", (host) => host);
  vi.advanceTimersByTime(100);
  expect(told).not.toHaveBeenCalled();
});

test("the ages of what has come are counted each second, however late the next drawing was planned before", () => {
  const store = new Store(newState(["local"], { cols: 80, rows: 24 }, Date.now()));
  const clock = new AgeClock(store);
  store.subscribe(() => clock.plan());
  try {
    clock.plan();
    vi.advanceTimersByTime(5000);
    const createdAt = new Date().toISOString();
    store.setHost("local", (host) => ({ ...host, sandboxes: new Map([["s1", sandbox({ createdAt })]]) }));
    vi.advanceTimersByTime(3100);
    expect(store.state.nowMs - Date.parse(createdAt)).toBeGreaterThanOrEqual(3000);
  } finally {
    clock.close();
    store.close();
  }
});
