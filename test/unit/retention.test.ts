import fc from "fast-check";
import { expect, test } from "vitest";
import { budgetsOf } from "../../engine/captures/prune.ts";
import {
  type Budgets,
  decideCaptures,
  decideSnapshots,
  type KeptCapture,
} from "../../engine/captures/retention.ts";
import { parseConfig } from "../../engine/config.ts";
import { Holds } from "../../engine/holds.ts";

const NOW = 1_000_000;
const optional = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined });
const budget = fc.record({
  maxCount: optional(fc.integer({ min: 1, max: 8 })),
  maxBytes: optional(fc.integer({ min: 0, max: 300 })),
  maxAgeMs: optional(fc.integer({ min: 1, max: NOW })),
});
const budgets: fc.Arbitrary<Budgets> = fc.record({ host: budget, perRepository: budget });
const captures: fc.Arbitrary<KeptCapture[]> = fc
  .array(
    fc.record({
      createdAtMs: fc.integer({ min: 0, max: NOW }),
      bytes: fc.integer({ min: 0, max: 100 }),
      repository: fc.constantFrom(null, "acme/shop", "acme/web"),
      fingerprint: fc.constantFrom("f1", "f2", "f3"),
      bound: fc.boolean(),
      maxAgeMs: fc.constant(null),
    }),
    { maxLength: 25 },
  )
  .map((list) => list.map((one, index) => ({ id: `fail-${index}`, ...one })));

const total = (list: readonly { bytes: number }[]): number => list.reduce((sum, { bytes }) => sum + bytes, 0);
const failureOf = ({ repository, fingerprint }: KeptCapture): string => `${repository} ${fingerprint}`;
/** Ids of the first and the latest of each failure. */
function ends(list: readonly KeptCapture[]): Set<string> {
  const sorted = [...list].sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1));
  const groups = [...Map.groupBy(sorted, failureOf).values()];
  return new Set(groups.flatMap((group) => [group[0]?.id ?? "", group.at(-1)?.id ?? ""]));
}
const check = (
  law: (given: { all: KeptCapture[]; limits: Budgets; left: KeptCapture[]; gone: KeptCapture[] }) => unknown,
): void =>
  fc.assert(
    fc.property(captures, budgets, (all, limits) => {
      const ids = new Set(decideCaptures(all, limits, NOW).map(({ id }) => id));
      const kept = law({
        all,
        limits,
        left: all.filter(({ id }) => !ids.has(id)),
        gone: all.filter(({ id }) => ids.has(id)),
      });
      return kept !== false;
    }),
    { numRuns: 500 },
  );

test("what is bound never goes", () => check(({ gone }) => gone.every(({ bound }) => !bound)));

test("the first and the latest of a failure go only for bytes that are too many even without all others", () =>
  check(({ all, limits, gone }) => {
    const kept = ends(all);
    const tooMany = (scope: KeptCapture[], most: number | undefined): boolean =>
      most !== undefined && total(scope.filter(({ id, bound }) => bound || kept.has(id))) > most;
    for (const one of gone.filter(({ id }) => kept.has(id))) {
      const own = all.filter(({ repository }) => repository === one.repository);
      const repositoryFull = one.repository !== null && tooMany(own, limits.perRepository.maxBytes);
      expect(repositoryFull || tooMany(all, limits.host.maxBytes)).toBe(true);
    }
  }));

test("afterwards every budget is kept, or only what is bound or kept for its failure is left over", () =>
  check(({ all, limits, left }) => {
    const kept = ends(all);
    const scopes: [KeptCapture[], Budgets["host"]][] = [
      ...["acme/shop", "acme/web"].map((name): [KeptCapture[], Budgets["host"]] => [
        left.filter(({ repository }) => repository === name),
        limits.perRepository,
      ]),
      [left, limits.host],
    ];
    for (const [scope, { maxAgeMs, maxBytes, maxCount }] of scopes) {
      const loose = scope.filter(({ id, bound }) => !bound && !kept.has(id));
      if (maxAgeMs !== undefined)
        expect(loose.every(({ createdAtMs }) => NOW - createdAtMs <= maxAgeMs)).toBe(true);
      if (maxCount !== undefined) expect(scope.length <= maxCount || loose.length === 0).toBe(true);
      if (maxBytes !== undefined)
        expect(total(scope) <= maxBytes || scope.every(({ bound }) => bound)).toBe(true);
    }
  }));

test("a second look finds nothing more", () =>
  check(({ limits, left }) => decideCaptures(left, limits, NOW).length === 0));

test("without budgets nothing goes", () => {
  fc.assert(
    fc.property(captures, (all) => decideCaptures(all, { host: {}, perRepository: {} }, NOW).length === 0),
  );
});

test("one that was to be kept for less goes, as the latest of its failure too, but not while it is bound", () => {
  const one = { createdAtMs: 0, bytes: 10, repository: null, bound: false, maxAgeMs: 100 };
  const all = [
    { ...one, id: "fail-1", fingerprint: "a" },
    { ...one, id: "fail-2", fingerprint: "b", bound: true },
    { ...one, id: "fail-3", fingerprint: "c", maxAgeMs: null },
  ];
  const budgets = { host: {}, perRepository: {} };
  expect(decideCaptures(all, budgets, 100)).toEqual([]);
  expect(decideCaptures(all, budgets, 101)).toEqual([
    { id: "fail-1", bytes: 10, reason: "older than its own retention" },
  ]);
});

test("oldest first, and why", () => {
  const all = [1, 2, 3, 4, 5].map((at) => ({
    ...{ id: `fail-${at}`, createdAtMs: at, bytes: 10, repository: "acme/shop", fingerprint: "f" },
    ...{ bound: at === 2, maxAgeMs: null },
  }));
  expect(decideCaptures(all, { host: {}, perRepository: { maxCount: 3 } }, NOW)).toEqual([
    { id: "fail-3", bytes: 10, reason: "more than the 3 that acme/shop keeps (maxCount)" },
    { id: "fail-4", bytes: 10, reason: "more than the 3 that acme/shop keeps (maxCount)" },
  ]);
  expect(decideCaptures(all, { host: { maxBytes: 20 }, perRepository: {} }, NOW).map(({ id }) => id)).toEqual(
    ["fail-3", "fail-4", "fail-1"],
  );
});

test("a snapshot goes when nothing needs it, nor what it was made of, nor what was made of it", () => {
  const snapshots = [
    { id: "tagged", bound: true, madeOf: null },
    { id: "variant", bound: false, madeOf: "tagged" },
    { id: "old", bound: false, madeOf: null },
    { id: "old-variant", bound: false, madeOf: "old" },
    { id: "origin", bound: false, madeOf: null },
    { id: "used-variant", bound: true, madeOf: "origin" },
    { id: "booted", bound: false, madeOf: "fail-1" },
    { id: "booted-of-gone", bound: false, madeOf: "fail-2" },
  ];
  expect(decideSnapshots(snapshots, new Set(["fail-1"]))).toEqual(["old", "old-variant", "booted-of-gone"]);
});

test("budgets from the configuration, in bytes and ms; 20 GiB without one", () => {
  const text =
    "captures: { maxCount: 200, maxBytes: 1G, maxAge: 30d, perRepository: { maxCount: 20, maxAge: 7d } }";
  expect(budgetsOf(parseConfig(text))).toEqual({
    host: { maxCount: 200, maxBytes: 2 ** 30, maxAgeMs: 30 * 86_400_000 },
    perRepository: { maxCount: 20, maxBytes: undefined, maxAgeMs: 7 * 86_400_000 },
  });
  expect(budgetsOf(parseConfig("")).host.maxBytes).toBe(20 * 2 ** 30);
  expect(() => parseConfig("captures: { maxCuont: 1 }")).toThrow(/mistake/);
});

test("a hold counts", () => {
  const holds = new Holds();
  const one = holds.take("fail-1");
  const two = holds.take("fail-1");
  one[Symbol.dispose]();
  one[Symbol.dispose]();
  expect(holds.has("fail-1")).toBe(true);
  two[Symbol.dispose]();
  expect(holds.has("fail-1")).toBe(false);
});

test("what a client carries is held until it had time to come for the next part", () => {
  let now = 0;
  const holds = new Holds(() => now);
  const part = holds.carry("fail-1");
  now = 7200_000;
  expect(holds.has("fail-1")).toBe(true);
  part[Symbol.dispose]();
  now += 1_700_000;
  expect(holds.has("fail-1")).toBe(true);
  now += 200_000;
  expect(holds.has("fail-1")).toBe(false);
});
