/** Which QEMU a machine runs under. An upgrade of the package replaces the binary and leaves running machines as they are. */
import { RunnerError } from "../runner.ts";
import type { Context } from "./context.ts";
import type { QmpClient } from "./qmp.ts";

/** As the first line of that QEMU's `--version`. */
export async function buildOf(qmp: QmpClient): Promise<string> {
  const answer = await qmp.execute("query-version");
  const { qemu, package: revision } = answer as { qemu?: Record<string, unknown>; package?: unknown };
  const version = [qemu?.major, qemu?.minor, qemu?.micro];
  if (!version.every((part) => Number.isInteger(part)))
    throw new RunnerError("start-failed", "QEMU did not report its version");
  const ofPackage = typeof revision === "string" && revision !== "" ? ` (${revision})` : "";
  return `QEMU emulator version ${version.join(".")}${ofPackage}`;
}

/** Why a difference of this machine could not be thawed here; null when it could: only the build that took it resumes one. */
export async function whyNoDifference(context: Context, qmp: QmpClient): Promise<string | null> {
  const [{ build }, running] = await Promise.all([context.facts(), buildOf(qmp)]);
  return build === running ? null : `it runs under ${running}, and this host has ${build} now`;
}
