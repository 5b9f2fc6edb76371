/** Whether this host can jail QEMU, found out by trying. */
import { readFile } from "node:fs/promises";
import { RunnerError } from "../runner.ts";
import { findTool } from "./find-tool.ts";
import { runTool } from "./tool.ts";

export type JailSupport =
  | { jailed: true; version: string }
  | { jailed: false; reason: string; hint?: string };

/** Never throws. Takes some 10 ms. */
export async function jailSupport(): Promise<JailSupport> {
  const asRoot = process.getuid?.() === 0;
  if ((await findTool("bwrap")) === undefined) {
    return { jailed: false, reason: "bwrap is not installed", hint: "apt-get install bubblewrap" };
  }
  if (asRoot && (await findTool("setpriv")) === undefined) {
    return { jailed: false, reason: "setpriv is not installed", hint: "apt-get install util-linux" };
  }
  const options = { timeoutMs: 5_000, debianPackage: "bubblewrap" };
  const namespaces = asRoot
    ? ["--unshare-pid", "--unshare-net"]
    : ["--unshare-user", "--unshare-pid", "--unshare-net"];
  try {
    const version = await runTool("bwrap", ["--version"], options);
    await runTool(
      "bwrap",
      [...namespaces, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/usr/bin/true"],
      options,
    );
    return { jailed: true, version: version.trim() };
  } catch (error) {
    return { jailed: false, ...(await explain(error, asRoot)) };
  }
}

async function explain(error: unknown, asRoot: boolean): Promise<{ reason: string; hint?: string }> {
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
      hint: "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give bwrap an AppArmor profile with `userns,`",
    };
  }
  return { reason: error instanceof RunnerError ? error.message : String(error) };
}
