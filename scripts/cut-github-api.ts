/**
 * Cuts the operations that thaw calls out of GitHub's OpenAPI description, for the tests' server of the API:
 * `node scripts/cut-github-api.ts` writes test/fixtures/github-api/description.json. To call one more operation, add its id below and run it.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** GitHub's description (github/rest-api-description) as octokit publishes it; both under the MIT licence. */
const SOURCE = "@octokit/openapi@23.0.2";
const TARGET = join(import.meta.dirname, "../test/fixtures/github-api/description.json");
const OPERATIONS = new Set([
  "actions/download-artifact",
  "actions/get-job-for-workflow-run",
  "actions/get-workflow-run",
  "actions/get-workflow-run-attempt",
  "actions/list-jobs-for-workflow-run-attempt",
  "actions/list-workflow-run-artifacts",
  "actions/list-workflow-runs-for-repo",
  "checks/list-annotations",
  "issues/create-comment",
  "issues/list-comments",
  "issues/update-comment",
  "pulls/get",
  "pulls/list",
  "pulls/list-reviews",
  "repos/create-deployment",
  "repos/create-deployment-status",
  "repos/get",
  "repos/get-collaborator-permission-level",
  "repos/list-deployments",
  "users/get-authenticated",
]);

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type JsonObject = { [key: string]: Json };

function download(): JsonObject {
  const folder = mkdtempSync(join(tmpdir(), "github-api-"));
  try {
    const packed = execFileSync("npm", ["pack", SOURCE, "--silent"], {
      cwd: folder,
      encoding: "utf8",
    }).trim();
    const file = "package/generated/api.github.com.json";
    execFileSync("tar", ["xzf", packed, file], { cwd: folder });
    return JSON.parse(readFileSync(join(folder, file), "utf8")) as JsonObject;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What a reference such as `#/components/schemas/NAME` names. */
function lookUp(document: JsonObject, ref: string): Json {
  return ref
    .slice(2)
    .split("/")
    .reduce<Json>((at, key) => (at as JsonObject)[key] as Json, document);
}

/** Prose is left out; a property may be named like it. */
const PROSE = new Set([
  "description",
  "summary",
  "externalDocs",
  "tags",
  "x-github",
  "x-octokit",
  "example",
  "title",
]);

function strip(value: Json, isMap = false): Json {
  if (Array.isArray(value)) return value.map((one) => strip(one));
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value)
    .filter(([key]) => isMap || !(PROSE.has(key) || key === "examples"))
    .map(([key, inner]): [string, Json] => [
      key,
      key === "enum" ? inner : strip(inner, !isMap && key === "properties"),
    ]);
  return Object.fromEntries(entries);
}

function referencesIn(value: Json): string[] {
  return [...JSON.stringify(value).matchAll(/"\$ref":"(#[^"]+)"/g)].map(([, ref = ""]) => ref);
}

const whole = download();
const paths: JsonObject = {};
const examples: JsonObject = {};
const missing = new Set(OPERATIONS);
for (const [path, methods] of Object.entries(whole.paths as JsonObject)) {
  for (const [method, operation] of Object.entries(methods as JsonObject)) {
    const { operationId, responses } = operation as { operationId: string; responses: JsonObject };
    if (!missing.delete(operationId)) continue;
    paths[path] = { ...(paths[path] as JsonObject | undefined), [method]: strip(operation as Json) };
    const success = Object.entries(responses).find(([status]) => status.startsWith("2"))?.[1];
    const content = Object.values((success as { content?: JsonObject })?.content ?? {})[0];
    const example = Object.values((content as { examples?: JsonObject })?.examples ?? {})[0] as JsonObject;
    if (example === undefined) continue;
    const found = (typeof example.$ref === "string" ? lookUp(whole, example.$ref) : example) as JsonObject;
    examples[operationId] = found.value as Json;
  }
}
if (missing.size > 0) throw new Error(`no such operations: ${[...missing].join(", ")}`);

const components: { [kind: string]: JsonObject } = {};
const pending = referencesIn(paths);
for (let ref = pending.pop(); ref !== undefined; ref = pending.pop()) {
  const [, , kind = "", name = ""] = ref.split("/");
  components[kind] ??= {};
  if (name in components[kind]) continue;
  const value = strip(lookUp(whole, ref));
  components[kind][name] = value;
  pending.push(...referencesIn(value));
}
const about = {
  source: `${SOURCE} (npm), generated/api.github.com.json: GitHub's description github/rest-api-description with octokit's extension`,
  licence: "MIT, Copyright GitHub, Inc. and Octokit contributors",
  cut: "scripts/cut-github-api.ts: some operations, without prose",
};
writeFileSync(TARGET, `${JSON.stringify({ about, paths, components, examples }, null, 1)}\n`);
