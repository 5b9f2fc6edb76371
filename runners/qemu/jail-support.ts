/** Whether this host can jail QEMU, found out by trying. */
import { readFile } from "node:fs/promises";
import { RunnerError } from "../runner.ts";
import type { Context } from "./context.ts";
import { jailedCommand, TOOL_LIMITS } from "./jailed-tool.ts";
import { runTool } from "./tool.ts";

export type JailSupport = { jailed: true } | { jailed: false; reason: string; hint?: string };

/** Never throws. Takes some 10 ms. */
export async function jailSupport(context: Pick<Context, "jailPath" | "tools">): Promise<JailSupport> {
  const command = ["/usr/bin/true"] as const;
  const [file, ...args] = jailedCommand(context, { bindings: [], own: [], limits: TOOL_LIMITS, command });
  try {
    await runTool(file, args, { timeoutMs: 5_000, debianPackage: "thaw" });
    return { jailed: true };
  } catch (error) {
    return { jailed: false, ...(await explain(error)) };
  }
}

async function explain(error: unknown): Promise<{ reason: string; hint?: string }> {
  const asRoot = process.getuid?.() === 0;
  const text = (path: string): Promise<string> =>
    readFile(path, "utf8").then(
      (value) => value.trim(),
      () => "",
    );
  if (!asRoot && (await text("/proc/sys/user/max_user_namespaces")) === "0") {
    return {
      reason: "user namespaces are turned off (user.max_user_namespaces = 0)",
      hint: "sysctl user.max_user_namespaces=15000",
    };
  }
  if (!asRoot && (await text("/proc/sys/kernel/unprivileged_userns_clone")) === "0") {
    return {
      reason: "user namespaces are for root only (kernel.unprivileged_userns_clone = 0)",
      hint: "sysctl kernel.unprivileged_userns_clone=1",
    };
  }
  if (!asRoot && (await text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")) === "1") {
    return {
      reason: "AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns = 1)",
      hint: "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run the daemon as root",
    };
  }
  const reason = error instanceof RunnerError ? error.message : String(error);
  if (!asRoot || !reason.includes("not permitted")) return { reason };
  return {
    reason,
    hint: "give the daemon CAP_SYS_ADMIN: a container needs --privileged, or run it on the host",
  };
}
