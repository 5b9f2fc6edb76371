/** `npm run soak`, shortened: a daemon that runs one command after another uses no more of its host for it. */
import { execa } from "execa";
import { expect, test } from "vitest";
import { testHome } from "../helpers/test-home.ts";

interface Row {
  name?: string;
  grows?: boolean;
}

test("sixty runs", { timeout: 900_000 }, async () => {
  const suite = ["test/suites/soak/main.ts", "--runs", "60", "--json", "--home", testHome()];
  const { stdout, stderr } = await execa(process.execPath, suite, { reject: false });
  const rows = stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Row);
  const figures = rows.filter(({ grows }) => grows !== undefined);
  expect(figures.length, stderr).toBe(8);
  // How fast it answers is also what other tests make of the host meanwhile.
  expect(
    figures.filter(({ name, grows }) => grows && name !== "answerP95Ms"),
    stderr,
  ).toEqual([]);
});
