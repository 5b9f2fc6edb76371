/** One measurement for all that ask at once. */
import { expect, test } from "vitest";
import { type Measured, StatsSampler } from "../../daemon/stats-sampler.ts";

const memory = () => ({ totalMib: 1000, availableMib: 400 });

function sandbox(id: string, state: string, stats: Measured["stats"]): Measured {
  return { id, record: { name: `name-${id}`, state, createdAt: "2026-01-01T00:00:00Z" }, stats };
}

test("many followers cost one measurement, and one that does not answer is left out", async () => {
  let asked = 0;
  let most = 0;
  let now = 0;
  const measured = Array.from({ length: 40 }, (_, n) =>
    sandbox(`s${n}`, n % 2 === 0 ? "running" : "paused", async () => {
      asked += 1;
      most = Math.max(most, ++now);
      await new Promise((resolve) => setImmediate(resolve));
      now -= 1;
      return { pssBytes: 1, rssBytes: 2, cpuMs: 3 };
    }),
  );
  const silent = sandbox("silent", "running", () => new Promise(() => {}));
  const gone = sandbox("gone", "running", () => Promise.reject(new Error("it ended")));
  const stopped = sandbox("stopped", "stopped", () => Promise.reject(new Error("not asked")));
  const sampler = new StatsSampler(() => [...measured, silent, gone, stopped], memory);
  const samples = await Promise.all(Array.from({ length: 100 }, () => sampler.sample()));
  expect(new Set(samples).size).toBe(1);
  expect(asked).toBe(40);
  expect(most).toBeLessThanOrEqual(8);
  expect(samples[0]?.sandboxes.map(({ id }) => id)).toEqual(measured.map(({ id }) => id));
  expect(samples[0]).toMatchObject({ host: { memoryMib: 1000, availableMib: 400 } });
  expect(samples[0]?.sandboxes[0]).toMatchObject({ name: "name-s0", cpuPercent: null, cpuMs: 3 });
});
