/** What the emulated machine gets on its second disk: thaw as it was built, and what the build of its template would otherwise fetch. */
import { chmodSync, cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { installDaemon } from "../../client/install.ts";

/** Everything takes ten times as long, on a busy host fifty times; of the CPU models only the plainest is whole. */
const CONFIG = "runner: { slow: 50, kvmCpus: [qemu64-v1], mitigations: false }\n";

/** @param home state folder with what the build of template.yaml has fetched */
export async function fillData(folder: string, home: string): Promise<void> {
  const own = join(folder, "home");
  mkdirSync(own, { mode: 0o700 });
  // Copied there by the emulated machine it would take a minute.
  const { node, script } = await installDaemon(own);
  for (const part of ["rootfs", "kernels"])
    if (existsSync(join(home, part))) cpSync(join(home, part), join(own, part), { recursive: true });
  writeFileSync(join(own, "config.yaml"), CONFIG);
  cpSync(join(import.meta.dirname, "template.yaml"), join(folder, "template.yaml"));
  // The state folder is root's alone, the command everybody's.
  cpSync(dirname(script), join(folder, "cli"), { recursive: true });
  cpSync(node, join(folder, "node"));
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin", "thaw"), '#!/bin/sh\nexec /data/node /data/cli/thaw.mjs "$@"\n');
  for (const path of ["cli", "bin", "bin/thaw"]) chmodSync(join(folder, path), 0o755);
}
