/** `npm run chaos` for a while: killed processes, a full disk and a clock that jumps lose nothing and leave nothing. */
import { execa } from "execa";
import { expect, test } from "vitest";
import { testHome } from "../helpers/test-home.ts";

/** What is done is the same each time; how it falls together is not. By hand: other seeds, and more rounds. */
const SEED = "1";

test("fifty rounds", { timeout: 1_500_000 }, async () => {
  const suite = ["test/suites/chaos/main.ts", "--rounds", "50", "--seed", SEED, "--home", testHome()];
  const { exitCode, all } = await execa(process.execPath, suite, { all: true, reject: false });
  expect(exitCode, String(all)).toBe(0);
});
