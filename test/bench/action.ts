/** What the GitHub Action adds to the command, and to a runner's time. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { Job } from "../action-runner/job.ts";
import { makeReleaseFolder } from "../action-runner/release-folder.ts";
import { startRegistry } from "../helpers/registry.ts";
import { runTimed } from "./command.ts";
import { dirty } from "./guest.ts";
import { interleave, repeat } from "./interleave.ts";
import { modulesOf } from "./modules.ts";
import { figure, peer, type Row } from "./row.ts";
import type { World } from "./world.ts";

const ROOT = join(import.meta.dirname, "..", "..");

export async function measureAction(world: World): Promise<Row[]> {
  using folder = makeReleaseFolder();
  await using job = new Job({ action: folder.path, env: { THAW_HOME: world.home, NO_COLOR: "1" } });
  const rows = [
    await measureStep(world, job),
    await measureRelease(world, job),
    await measurePush(world, job),
    ...(await measureLoad(world)),
  ];
  await job.end();
  return rows;
}

/** Milliseconds that the main step took. */
async function runStep(job: Job, run: string): Promise<number> {
  const { conclusion, ms, log } = await job.step({ with: { run } });
  if (conclusion !== "success") throw new Error(`the step failed: ${log.slice(-5).join(" ")}`);
  return ms;
}

async function measureStep({ thaw, env, runs, signal }: World, job: Job): Promise<Row> {
  const { ours, against } = await interleave({
    runs: runs(7),
    ours: () => runStep(job, "true"),
    against: () => runTimed(thaw("run", "--", "true"), { env, signal }),
    signal,
  });
  const added = ours.map((ms, index) => ms - (against[index] ?? Number.NaN));
  return {
    name: "a step of the Action, added to thaw run -- true",
    ours: figure("ms", added),
    against: peer("thaw run -- true", "ms", against),
    target: { of: "ours", bound: "at most", value: 800 },
    note: "with the job's checkout, which thaw run does not send",
  };
}

async function measureRelease({ runs, signal }: World, job: Job): Promise<Row> {
  const samples = await repeat(runs(5), signal, async () => {
    const running = job.start({ with: { run: `${dirty(20e6)}; echo failing; exit 3` } });
    await running.line(/^failing$/);
    const failedAt = performance.now();
    const { exitCode, outputs } = await running.result;
    if (exitCode !== 3 || outputs.capture === undefined) throw new Error("the failure was not captured");
    return performance.now() - failedAt;
  });
  return {
    name: "a step fails → its runner is free, 20 MB captured",
    ours: figure("ms", samples),
    target: { of: "ours", bound: "at most", value: 2000 },
  };
}

/** The same with a registry, which has the base already. */
async function measurePush({ runs, scratch, signal }: World, job: Job): Promise<Row> {
  const registry = await startRegistry(join(scratch, "action-registry"));
  const env = { REGISTRY_AUTH_FILE: registry.authFile };
  const store = `oci:${registry.host}/failures`;
  try {
    const fail = async (): Promise<number> => {
      const run = `${dirty(20e6)}; echo failing; exit 3`;
      const running = job.start({ env, with: { run, "capture-store": store } });
      await running.line(/^failing$/);
      const failedAt = performance.now();
      const { outputs, log } = await running.result;
      if (outputs.capture?.startsWith("oci:") !== true)
        throw new Error(`not in the registry: ${log.slice(-5).join(" ")}`);
      return performance.now() - failedAt;
    };
    await fail();
    return {
      name: "the same, into a registry of this machine",
      ours: figure("ms", await repeat(runs(5), signal, fail)),
      target: { of: "ours", bound: "at most", value: 6000 },
      note: "its base is there",
    };
  } finally {
    await registry.stop();
  }
}

/** The action as far as it gets without inputs, against a bundle of nothing but the library that every action loads. */
async function measureLoad({ dist, scratch, runs, signal }: World): Promise<Row[]> {
  const source = join(scratch, "core.js");
  writeFileSync(
    source,
    `import { info } from ${JSON.stringify(join(ROOT, "node_modules/@actions/core/lib/core.js"))};\ninfo("");\n`,
  );
  const bundle = await rolldown({ input: source, platform: "node", logLevel: "silent" });
  const core = join(scratch, "core.mjs");
  await bundle.write({ file: core, format: "esm", minify: true, codeSplitting: false });
  await bundle.close();
  const entry = join(dist, "action", "main.mjs");
  const load = [
    process.execPath,
    "-e",
    `process.exit = (code) => process.reallyExit(0); import(${JSON.stringify(entry)})`,
  ] as const;
  const samples = await interleave({
    runs: runs(15),
    ours: () =>
      runTimed([...load], {
        env: { GITHUB_WORKSPACE: scratch, GITHUB_OUTPUT: undefined },
        signal,
      }),
    against: () => runTimed([process.execPath, core], { signal }),
    signal,
  });
  const bytes = [...modulesOf(entry)].reduce((sum, path) => sum + readFileSync(path).length, 0);
  return [
    {
      name: "load of the Action",
      ours: figure("ms", samples.ours),
      against: peer("@actions/core alone", "ms", samples.against),
      target: { of: "ratio", bound: "at most", value: 1.3 },
    },
    {
      name: "what the Action loads at once",
      ours: figure("MiB", [bytes / 2 ** 20]),
      target: { of: "ours", bound: "at most", value: 1 },
    },
  ];
}
