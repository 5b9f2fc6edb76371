/** This host, with a state folder of its own that starts with what the other host has built of templates. */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { pathThere } from "./debian13.ts";

const STATE_THERE = "/root/.local/state/thaw";

export class ThisHost {
  readonly home = mkdtempSync("/tmp/thaw-builds-");

  constructor() {
    for (const part of ["kernels", "rootfs"])
      cpSync(join(pathThere(STATE_THERE), part), join(this.home, part), { recursive: true });
  }

  /** stdout of a script of bash that must succeed. */
  async succeeds(script: string): Promise<string> {
    const thaw = 'set -e -o pipefail; thaw() { node dist/thaw.mjs "$@"; }\n';
    const { stdout } = await execa("bash", ["-uc", thaw + script], {
      env: { THAW_HOME: this.home, NO_COLOR: "1" },
      stripFinalNewline: false,
      timeout: 580_000,
    });
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.succeeds("thaw rm --all; thaw daemon stop");
    rmSync(this.home, { recursive: true, force: true });
  }
}
