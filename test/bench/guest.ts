/** Commands in a sandbox, through the client library. */
import type { ExecInfo, ExecRequest } from "../../client/index.ts";
import type { World } from "./world.ts";

export interface Ran {
  exec: ExecInfo;
  stdout: string;
  /** When its first output came, on `performance.now()`'s clock; when there was none, the end. */
  firstOutputAt: number;
  /** When its end was told. */
  endedAt: number;
}

/** Runs a command to its end, whatever its exit code. */
export async function runInGuest(
  { client, signal }: World,
  sandbox: string,
  request: ExecRequest,
): Promise<Ran> {
  let stdout = "";
  let firstOutputAt: number | undefined;
  const reference = client.sandboxes.at(sandbox);
  const { id } = await reference.startDetached(request, { signal });
  const take = (chunk: Uint8Array): void => {
    firstOutputAt ??= performance.now();
    stdout += Buffer.from(chunk).toString("latin1");
  };
  const exec = await (await reference.execAt(id).attach({ stdout: take, signal })).result;
  const endedAt = performance.now();
  return { exec, stdout, firstOutputAt: firstOutputAt ?? endedAt, endedAt };
}

/** Runs a shell script that is to succeed. @returns what it printed */
export async function shell(world: World, sandbox: string, script: string): Promise<string> {
  const { exec, stdout } = await runInGuest(world, sandbox, { argv: ["sh", "-c", script] });
  if (exec.exit?.code !== 0) throw new Error(`${script}: ${JSON.stringify(exec.exit ?? exec.error)}`);
  return stdout.trim();
}

/** Bytes of the guest's memory that are in use. */
export async function usedBytes(world: World, sandbox: string): Promise<number> {
  const meminfo = await shell(world, sandbox, "cat /proc/meminfo");
  const kib = (name: string): number =>
    Number(new RegExp(`^${name}: +(\\d+)`, "m").exec(meminfo)?.[1] ?? Number.NaN);
  return (kib("MemTotal") - kib("MemAvailable")) * 1024;
}

/** A script that writes so many bytes of memory that don't compress. */
export function dirty(bytes: number): string {
  return `head -c ${bytes} /dev/urandom > /dev/shm/dirt`;
}
