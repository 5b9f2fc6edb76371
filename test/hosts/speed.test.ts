/** thaw, fork and capture on both hosts in one run: printed as ratios. No test fails on a clock. */
import { afterAll, expect, test } from "vitest";
import { describeThere, succeeds } from "./debian13.ts";
import { ThisHost } from "./this-host.ts";

const ROUNDS = 2;
/** A line for each figure, in ms: from the daemon's own measures where it tells them, so that no start of a client counts. */
const FIGURES = `
  thaw run -- true
  thaw create --name one >&2
  for n in 1 2 3; do
    thaw run --verbose -- true 2>&1 | sed -n 's/^thaw \\([0-9.]*\\) ms.*/thaw \\1/p'
    before=$(date +%s%N); thaw fork one --json >&2; after=$(date +%s%N); echo "fork $(((after - before) / 1000000))"
    before=$(date +%s%N); thaw capture create one >&2; after=$(date +%s%N); echo "capture $(((after - before) / 1000000))"
  done
  thaw rm --all >&2`;

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;

describeThere("speed", () => {
  let host: ThisHost | undefined;
  afterAll(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  test("QEMU of the two hosts, in turn", async () => {
    host = new ThisHost();
    const found = { here: [] as string[], there: [] as string[] };
    for (let round = 0; round < ROUNDS; round++) {
      found.here.push(...(await host.succeeds(FIGURES)).split("\n"));
      found.there.push(...(await succeeds(FIGURES)).split("\n"));
    }
    for (const row of ["thaw", "fork", "capture"]) {
      const of = (lines: readonly string[]): number =>
        median(lines.filter((line) => line.startsWith(`${row} `)).map((line) => Number(line.split(" ")[1])));
      const [here, there] = [of(found.here), of(found.there)];
      process.stdout.write(`${row}: ${here} ms here, ${there} ms there: ${(there / here).toFixed(2)} ×\n`);
      expect(there / here).toBeGreaterThan(0);
    }
  });
});
