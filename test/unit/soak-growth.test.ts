import { expect, test } from "vitest";
import { growthOf } from "../suites/soak/growth.ts";

const samples = (count: number, value: (index: number) => number) =>
  Array.from({ length: count }, (_, index) => value(index));

test("what stays the same does not grow, what goes up and down neither", () => {
  expect(growthOf(samples(30, () => 7))).toBe(0);
  expect(Math.abs(growthOf(samples(30, (index) => 100 + (index % 2) * 10)))).toBeLessThan(3);
});

test("growth is that of the time after the warm-up", () => {
  expect(growthOf(samples(30, (index) => Math.min(index, 10)))).toBe(0);
  expect(growthOf(samples(31, (index) => index))).toBeCloseTo(20);
  expect(growthOf(samples(31, (index) => -index))).toBeCloseTo(-20);
  expect(growthOf([5])).toBe(0);
});
