/** What a job begins with: a project's packages, from npm's registry, inside a sandbox that reaches nothing else. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CreateRequest } from "../../client/index.ts";
import { runTimed } from "./command.ts";
import { interleave, timed } from "./interleave.ts";
import { figure, peer, type Row } from "./row.ts";
import type { World } from "./world.ts";

/** Fifty packages with all that they need. */
const PROJECT = {
  ...{ name: "fifty", private: true },
  dependencies: { execa: "9.6.0", glob: "11.0.3", yargs: "17.7.2" },
};
type CreateSource = CreateRequest["source"];

const DEADLINE_MS = 600_000;

/** @param runner default: the host's */
export async function measureNpm(world: World, runner?: "gvisor"): Promise<Row[]> {
  const { client, signal } = world;
  const source = { template: "node", ...(runner === undefined ? {} : { runner }) };
  await client.templates.build(source, { signal });
  const folder = mkdtempSync(join(tmpdir(), "thaw-bench-npm-"));
  try {
    writeFileSync(join(folder, "package.json"), JSON.stringify(PROJECT));
    await npm(world, folder, "install", "--package-lock-only");
    const lock = readFileSync(join(folder, "package-lock.json"), "utf8");
    // Each with an empty cache.
    const { ours, against } = await interleave({
      runs: world.runs(1),
      ours: () => inSandbox(world, source, lock),
      against: () => npm(world, folder, "ci", "--cache", mkdtempSync(join(folder, "cache-"))),
      signal,
    });
    return [
      {
        name: `npm ci of ${lock.match(/"node_modules\//g)?.length} packages, policy @npm${runner === undefined ? "" : `, runner ${runner}`}`,
        ours: figure("ms", ours),
        against: peer("on the host", "ms", against),
        ...(runner === "gvisor" ? { target: { of: "ratio", bound: "at most", value: 3 } } : {}),
      },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function npm({ env, signal }: World, folder: string, ...args: string[]): Promise<number> {
  return runTimed(["npm", "--prefix", folder, "--no-audit", "--no-fund", ...args], {
    ...{ env, signal, deadlineMs: DEADLINE_MS },
  });
}

async function inSandbox({ client, signal }: World, source: CreateSource, lock: string): Promise<number> {
  await using sandbox = await client.sandboxes.create({ source, network: [{ allow: ["@npm"] }] }, { signal });
  const files = 'printf %s "$1" >package.json && printf %s "$2" >package-lock.json';
  await sandbox.exec(["sh", "-c", files, "sh", JSON.stringify(PROJECT), lock], { signal });
  return await timed(async () => {
    const { exitCode, stderr } = await sandbox.exec(["npm", "ci", "--no-audit", "--no-fund"], { signal });
    if (exitCode !== 0) throw new Error(`npm ci: exit ${exitCode}: ${stderr.slice(-2000)}`);
  });
}
