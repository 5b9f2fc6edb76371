/** `npm run hostile -- --short`: an attacker in the agent's place ends alone; the daemon and a neighbour answer as before. */
import { execa } from "execa";
import { expect, test } from "vitest";
import { testHome } from "../helpers/test-home.ts";

test("every attack is survived within its bounds", { timeout: 900_000 }, async () => {
  const suite = ["test/suites/hostile/main.ts", "--short", "--json", "--home", testHome()];
  const { exitCode, stdout, stderr } = await execa(process.execPath, suite, { reject: false });
  const rows = stdout.split("\n").filter(Boolean);
  const broken = rows.filter((row) => !row.includes('"broken":[]'));
  expect(broken.join("\n")).toBe("");
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(rows.length).toBeGreaterThan(15);
});
