import { expect, test } from "vitest";
import type { Cache } from "../../api/cache.ts";
import { chooseCache, overBudget } from "../../engine/caches/choose.ts";

const cache = (id: string, more: Partial<Cache> = {}): Cache => ({
  ...{ id, repository: "r", scope: "main", key: id, paths: ["/x"], diskMib: 4096, storedBytes: 100 },
  ...{ createdAt: "2026-01-01T00:00:00.000Z", usedAt: "2026-01-01T00:00:00.000Z", ...more },
});
const wanted = { repository: "r", read: ["topic", "main"], key: "k", restoreKeys: ["a-", "b-"] };

test("scope by scope: the key, then the newest of each prefix in turn", () => {
  const old = cache("a-1", { createdAt: "2026-01-01T00:00:00.000Z" });
  const young = cache("a-2", { createdAt: "2026-01-02T00:00:00.000Z" });
  const of = (...all: Cache[]) => chooseCache(all, wanted, 4096)?.id ?? null;
  expect(of(old, young, cache("k"))).toBe("k");
  expect(of(old, young, cache("b-9", { createdAt: "2026-02-01T00:00:00.000Z" }))).toBe("a-2");
  expect(of(cache("k"), cache("b-1", { scope: "topic" }))).toBe("b-1");
  expect(of(cache("k", { repository: "other" }))).toBeNull();
  expect(of(cache("k", { scope: "other" }))).toBeNull();
  expect(of(cache("k", { diskMib: 2048 }))).toBeNull();
});

test("those that were used longest ago go, for age, count and bytes", () => {
  const day = (number: number) => `2026-01-0${number}T00:00:00.000Z`;
  const all = [1, 2, 3, 4].map((number) => cache(`c${number}`, { usedAt: day(number) }));
  const over = (budget: object) =>
    overBudget(
      all,
      { maxCount: 9, maxBytes: 1e9, maxAgeMs: 1e12, ...budget },
      Date.parse("2026-01-05T00:00:00.000Z"),
    ).map(({ id }) => id);
  expect(over({})).toEqual([]);
  expect(over({ maxAgeMs: 2.5 * 86_400_000 })).toEqual(["c2", "c1"]);
  expect(over({ maxCount: 1 })).toEqual(["c3", "c2", "c1"]);
  expect(over({ maxBytes: 250 })).toEqual(["c2", "c1"]);
});
