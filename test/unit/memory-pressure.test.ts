import { expect, test } from "vitest";
import { pressureOf, victims } from "../../engine/memory-pressure.ts";

test("less than half of the reserve is pressure; stalls are only when there is little", () => {
  const state = { reserveMib: 200, stalledMsAgo: null };
  expect(pressureOf(100, state)).toBeNull();
  expect(pressureOf(99, state)).toEqual({
    low: true,
    reason: "memory pressure: 99 MiB are available, 200 MiB are to be kept free",
  });
  expect(pressureOf(300, { ...state, stalledMsAgo: 1_000 })).toMatchObject({ low: false });
  expect(pressureOf(300, { ...state, stalledMsAgo: 6_000 })).toBeNull();
  expect(pressureOf(5_000, { ...state, stalledMsAgo: 1_000 })).toBeNull();
});

test("the longest idle are paused first, then frozen one by one; busy, leased and held ones never", () => {
  const one = (id: string, state: string, idleSince: number | null, heldBy: string | null = null) => ({
    ...{ id, idleSince },
    record: { state, heldBy },
  });
  const busy = one("busy", "running", null);
  const paused = one("paused", "paused", 1);
  const held = one("held", "paused", 0, "disk-full");
  const idle = [one("a", "running", 30), one("b", "running", 10), one("c", "running", 20)];
  const ids = (owners: { id: string }[]) => owners.map(({ id }) => id);
  expect(ids(victims([busy, held, paused, ...idle]).pause)).toEqual(["b", "c"]);
  expect(victims([busy, held, paused, ...idle]).freeze).toBeNull();
  expect(victims([busy, held, one("later", "paused", 2), paused]).freeze?.id).toBe("paused");
  expect(victims([busy, held, one("gone", "stopped", 1), one("lost", "unresponsive", 1)])).toEqual({
    pause: [],
    freeze: null,
  });
});
