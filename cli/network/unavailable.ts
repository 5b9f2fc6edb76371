import type { SandboxInfo } from "../../client/index.ts";
import { cleanText } from "../format/clean-text.ts";
import { styleErr, writeErr } from "../output.ts";

/** Says when a sandbox has no way out though its policy would have one. */
export function sayUnavailable({ network }: SandboxInfo): void {
  if (network.unavailable === null) return;
  writeErr(`${styleErr("yellow", "thaw:")} no network: ${cleanText(network.unavailable)}\n`);
}
