/** Which QEMU this host has and what it offers. */
import { realpathSync, statSync } from "node:fs";
import { findTool } from "../host/find-tool.ts";
import { recall, remember } from "../host/host-json.ts";
import { runTool } from "../host/tool.ts";
import { RunnerError } from "../runner.ts";
import { checkOffer } from "./offer.ts";

export interface QemuFacts {
  path: string;
  /** First line of `--version`. */
  build: string;
  /** Major and minor, e.g. `[7, 2]`. */
  version: [number, number];
  /** Versioned q35 machine types on offer. */
  machines: string[];
  /** The newest of them. */
  machine: string;
}

/** What `--version` and `-M help` print, as facts. Throws `unsupported` when the text is not QEMU's. */
export function parseQemu(path: string, versionText: string, machineHelp: string): QemuFacts {
  const build = versionText.split("\n")[0]?.trim() ?? "";
  const version = /version (\d+)\.(\d+)/.exec(build);
  const machines = [...machineHelp.matchAll(/^(pc-q35-\d+\.\d+)\s/gm)].map((match) => match[1] ?? "");
  const machine = machines.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  if (version === null || machine === undefined) {
    throw new RunnerError(
      "unsupported",
      `${path} is not a QEMU with q35 machines: ${build || "no version"}`,
      {
        hint: "apt-get install qemu-system-x86",
      },
    );
  }
  return { path, build, version: [Number(version[1]), Number(version[2])], machines, machine };
}

/** A QEMU on this host. Another `key` means another binary: an upgrade replaces the file. */
export interface QemuBinary {
  path: string;
  key: string;
}

/** Throws `missing-tool`. */
export function findQemu(): QemuBinary {
  const path = findTool("qemu-system-x86_64");
  if (path === undefined) {
    throw new RunnerError("missing-tool", "qemu-system-x86_64 is not installed", {
      hint: "apt-get install qemu-system-x86",
    });
  }
  const real = realpathSync.native(path);
  if (!real.startsWith("/usr/")) {
    throw new RunnerError(
      "unsupported",
      `${real} is outside /usr, the only host folder that a jail can read`,
      {
        hint: "install it below /usr/local, or apt-get install qemu-system-x86",
      },
    );
  }
  const { ino, size, mtimeMs } = statSync(path);
  return { path, key: `${path} ${ino} ${size} ${mtimeMs}` };
}

/** Asks QEMU, or recalls the answers of the same binary. */
export async function qemuFacts(home: string, { path, key }: QemuBinary): Promise<QemuFacts> {
  const known = recall(home, "qemu", key, asFacts);
  if (known !== undefined) return known;
  const options = { timeoutMs: 10_000, debianPackage: "qemu-system-x86" };
  const [version, machines] = await Promise.all([
    runTool(path, ["--version"], options),
    runTool(path, ["-M", "help"], options),
  ]);
  const facts = parseQemu(path, version, machines);
  await checkOffer(path, facts.build);
  await remember(home, "qemu", key, facts);
  return facts;
}

/** A clone may map a file it can only read (`readonly=on,rom=off`). */
export function mapsReadOnly(facts: QemuFacts): boolean {
  const [major, minor] = facts.version;
  return major > 8 || (major === 8 && minor >= 2);
}

function asFacts(value: unknown): QemuFacts | undefined {
  const facts = value as Partial<QemuFacts> | null;
  const whole =
    typeof facts?.path === "string" && typeof facts.machine === "string" && Array.isArray(facts.machines);
  return whole && typeof facts.build === "string" && Array.isArray(facts.version)
    ? (facts as QemuFacts)
    : undefined;
}
