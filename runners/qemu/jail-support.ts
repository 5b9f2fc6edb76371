/** Whether this host can jail QEMU, found out by trying. */
import { forbiddenNamespaces } from "../../host/user-namespaces.ts";
import { runTool } from "../host/tool.ts";
import { RunnerError } from "../runner.ts";
import type { Context } from "./context.ts";
import { jailedCommand, TOOL_LIMITS } from "./jailed-tool.ts";

export type JailSupport =
  /** `at`: when one was made. */
  { jailed: true; at: string } | { jailed: false; reason: string; hint?: string };

/** Never throws. Takes some 10 ms. */
export async function jailSupport(context: Pick<Context, "jailPath" | "tools">): Promise<JailSupport> {
  const command = ["/usr/bin/true"] as const;
  const [file, ...args] = jailedCommand(context, { bindings: [], own: [], limits: TOOL_LIMITS, command });
  try {
    await runTool(file, args, { timeoutMs: 5_000, debianPackage: "thaw" });
    return { jailed: true, at: new Date().toISOString() };
  } catch (error) {
    return { jailed: false, ...(await explain(error)) };
  }
}

async function explain(error: unknown): Promise<{ reason: string; hint?: string }> {
  const asRoot = process.getuid?.() === 0;
  const forbidden = asRoot ? undefined : await forbiddenNamespaces();
  if (forbidden !== undefined) return forbidden;
  const reason = error instanceof RunnerError ? error.message : String(error);
  if (!asRoot || !reason.includes("not permitted")) return { reason };
  return {
    reason,
    hint: "give the daemon CAP_SYS_ADMIN: a container needs --privileged, or run it on the host",
  };
}
