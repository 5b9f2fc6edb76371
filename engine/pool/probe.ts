import type { Pool } from "../../api/pool.ts";
import type { Probe } from "../../runners/runner.ts";

/** Lines of `thaw doctor`: one for each pool that lacks spares for a reason. */
export function poolProbes(pools: readonly Pool[]): Probe[] {
  return pools.flatMap(({ name, ready, size, problem }) =>
    problem === null
      ? []
      : [
          {
            ...{ name: "pool", state: "warning" as const, fatal: false },
            detail: `pool ${name} has ${ready} of ${size} spares: ${problem}`,
            hint: "it is tried again by itself; thaw pool ls",
          },
        ],
  );
}
