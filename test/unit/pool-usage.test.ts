import { expect, test } from "vitest";
import { Usage } from "../../engine/pool/usage.ts";

const SECOND = 1000;
const HOUR = 3_600_000;

function usage() {
  let now = 0;
  const of = new Usage(() => now);
  const ask = (snapshot: string, at: number) => {
    now = at;
    of.note(snapshot, `the ${snapshot}`);
  };
  const sizes = (at: number) => {
    now = at;
    const found = [...of.sizes()];
    for (const [snapshot, { name }] of found) expect(name).toBe(`the ${snapshot}`);
    return Object.fromEntries(found.map(([snapshot, { size }]) => [snapshot, size]));
  };
  return { ask, sizes };
}

test("as many as the busiest ten seconds asked for, of each snapshot", () => {
  const { ask, sizes } = usage();
  for (const at of [0, 8, 30, 38, 39, 60]) ask("a", at * SECOND);
  ask("b", 61 * SECOND);
  expect(sizes(62 * SECOND)).toEqual({ a: 3, b: 1 });
});

test("four at most", () => {
  const { ask, sizes } = usage();
  for (let at = 0; at < 9; at++) ask("a", at * SECOND);
  expect(sizes(9 * SECOND)).toEqual({ a: 4 });
});

test("what was not asked for in an hour has none", () => {
  const { ask, sizes } = usage();
  for (const at of [0, 1, 2]) ask("a", at * SECOND);
  ask("a", HOUR / 2);
  expect(sizes(HOUR)).toEqual({ a: 2 });
  expect(sizes(HOUR / 2 + HOUR)).toEqual({});
});
