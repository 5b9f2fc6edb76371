/** Every route has its line in the table that describes it: the daemon does not start otherwise. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { operations } from "../../daemon/openapi/operations.ts";

const folder = "daemon/routes";
const routes = readdirSync(folder).flatMap((name) =>
  [
    ...readFileSync(join(folder, name), "utf8").matchAll(
      /app\s*\.(get|post|put|patch|delete)\(\s*["`](\/(?:v1|mcp)[^"`]*)["`]/g,
    ),
  ].map(([, method = "", path = ""]) => `${method.toUpperCase()} ${path}`),
);

test("every route is described, and no other", () => {
  expect(routes.length).toBeGreaterThan(50);
  const verbs = ["pause", "resume"].map((verb) => `POST /v1/sandboxes/:sandbox/${verb}`);
  const written = routes.filter((route) => !route.includes("${"));
  expect(Object.keys(operations).sort()).toEqual([...written, ...verbs, "GET /v1/openapi.json"].sort());
});

test("operation ids are unique, and summaries are sentences without an end", () => {
  const all = Object.values(operations);
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  for (const { summary } of all) expect(summary).toMatch(/^[A-Z].*[^.]$/);
});
