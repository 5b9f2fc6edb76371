/** Who may not lower a score has no daemon that goes last. What is started inherits a score that was lowered before. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { runStep } from "../../engine/rootfs/run.ts";
import { runTool } from "../../runners/host/tool.ts";

const OWN = "/proc/self/oom_score_adj";
const LATER = ["-c", "sleep 0.5; cat /proc/self/oom_score_adj"];
const before = readFileSync(OWN, "utf8");

function lowered(): boolean {
  try {
    writeFileSync(OWN, "-100");
    return true;
  } catch {
    return false;
  }
}

describe.runIf(lowered())("of a daemon that goes last when memory runs out (needs CAP_SYS_RESOURCE)", () => {
  afterAll(() => writeFileSync(OWN, before));

  test("tools and steps of a build are not protected as it is", async () => {
    const options = { timeoutMs: 10_000, debianPackage: "dash" };
    expect((await runTool("sh", LATER, options)).trim()).toBe("0");
    expect((await runStep(["sh", ...LATER], options)).trim()).toBe("0");
    expect(readFileSync(OWN, "utf8").trim()).toBe("-100");
  });
});
