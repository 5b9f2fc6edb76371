/** The package as others get it: packed, installed into an empty project, type-checked strictly, and run. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { thawEnv } from "../helpers/thaw.ts";

const project = mkdtempSync(join(tmpdir(), "thaw-consumer-"));
const installed = join(project, "node_modules/thaw-ci");
const examples = [...readFileSync("docs/SDK.md", "utf8").matchAll(/^## (.*?)$.*?^```ts\n(.*?)^```$/gms)].map(
  ([, title = "", code = ""], index) => ({ title, code, file: `example-${index + 1}` }),
);
const client = `client-${process.pid}`;

beforeAll(async () => {
  await execa(process.execPath, ["scripts/build-types.ts"]);
  const packed = await execa("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", project]);
  const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }];
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: client, type: "module" }));
  await execa("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${filename}`], { cwd: project });
  mkdirSync(join(project, "src"));
  for (const { file, code } of examples) writeFileSync(join(project, "src", `${file}.ts`), code);
  const compilerOptions = {
    ...{ strict: true, skipLibCheck: false, module: "nodenext", target: "es2024", types: [] },
    ...{ exactOptionalPropertyTypes: true, rootDir: "src", outDir: "out" },
  };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["src"] }));
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

describe("the package", () => {
  test("has what its manifest names, no sources, and the licences of all that is bundled", () => {
    const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    expect(manifest).toMatchObject({ os: ["linux"], cpu: ["x64"], repository: { type: "git" } });
    expect(manifest.dependencies).toBeUndefined();
    const files = readdirSync(installed, { recursive: true, encoding: "utf8" });
    for (const { types, default: code } of [manifest.exports["."]])
      expect(files).toEqual(expect.arrayContaining([types.slice(2), code.slice(2)]));
    expect(files.filter((file) => /(?<!\.d)\.ts$/.test(file))).toEqual([]);
    const licences = readFileSync(join(installed, "dist/THIRD-PARTY-LICENSES.txt"), "utf8");
    for (const name of ["fastify", "zod", "ws", "yaml", "undici", "commander"])
      expect(licences).toMatch(new RegExp(`^${name} \\d`, "m"));
  });

  test("declares what the fields of the API mean", () => {
    const types = readFileSync(join(installed, "dist/client.d.ts"), "utf8");
    expect(types).toContain("/** Stopped, and a request thaws it again. */");
    expect(types).toMatch(/maxOutputBytes\?: number/);
    expect(types.match(/^ {2}\/\*\* /gm)?.length).toBeGreaterThan(100);
  });

  test("type-checks strictly, without types of other packages", async () => {
    const checked = await execa(resolve("node_modules/.bin/tsc"), ["-p", project], { reject: false });
    expect(checked.stdout).toBe("");
    expect(checked.exitCode).toBe(0);
  });

  test.each(examples)("docs/SDK.md: $title", async ({ file }) => {
    const ran = await execa(process.execPath, [join(project, "out", `${file}.js`)], {
      ...{ cwd: project, env: thawEnv(), reject: false, timeout: 100_000 },
    });
    expect(ran).toMatchObject({ exitCode: 0, stderr: "" });
  });
});
