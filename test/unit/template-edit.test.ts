/** `thaw template edit`, with a real editor process. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { edit } from "../../cli/template/edit.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-edit-"));
const file = join(folder, "it's mine.yaml");
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a shipped recipe is copied once, and the editor's flags and exit code are its own", async () => {
  vi.stubEnv("VISUAL", "");
  vi.stubEnv("EDITOR", `sh -c 'echo "# edited" >>"$1"' sh`);
  expect(await edit("node", file)).toBe(0);
  expect(await edit("node", file)).toBe(0);
  expect(await edit(file, undefined)).toBe(0);
  const shipped = readFileSync("templates/node/template.yaml", "utf8");
  expect(readFileSync(file, "utf8")).toBe(`${shipped}${"# edited\n".repeat(3)}`);
  vi.stubEnv("VISUAL", "exit 7 #");
  expect(await edit("node", file)).toBe(7);
});

test("a name that nothing is shipped for is refused, with the nearest", async () => {
  vi.stubEnv("EDITOR", "true");
  await expect(edit("nod", join(folder, "nod.yaml"))).rejects.toMatchObject({
    ...{ code: "not-found", message: "no template nod", hint: expect.stringContaining("node") },
  });
});
