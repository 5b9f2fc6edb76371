import { execFile } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { findPaths, hostDaemon, installDaemon, ThawError } from "../../client/index.ts";
import { userUnit } from "../../host/systemd-units.ts";
import { requireLocalContext, withClient } from "../connect.ts";
import { writeOut } from "../output.ts";
import { formatUnit } from "./units.ts";

const run = promisify(execFile);

export interface InstallFlags {
  system?: boolean;
  print?: boolean;
}

function checkHost(system: boolean): void {
  if (!existsSync("/run/systemd/system"))
    throw new ThawError("host-not-ready", "systemd does not run on this host", {
      hint: "without systemd, commands start the daemon when they need it; thaw daemon install --print shows the unit",
    });
  if (system && process.getuid?.() !== 0)
    throw new ThawError("usage", "a daemon for the whole host is installed by root", {
      hint: "sudo thaw daemon install --system",
    });
}

async function command(name: string, ...args: string[]): Promise<void> {
  await run(name, args).catch((error: Error & { stderr?: string }) => {
    throw new ThawError(
      "host-not-ready",
      `${name} ${args.join(" ")}: ${error.stderr?.trim() || error.message}`,
      {
        cause: error,
      },
    );
  });
}

/** `thaw daemon install`: writes the unit and starts it; with `--print` only shows it. */
export async function install({ system = false, print = false }: InstallFlags): Promise<void> {
  requireLocalContext("daemon install");
  if (!print) checkHost(system);
  const own = findPaths();
  const { home, socket } = system ? hostDaemon : own;
  const path = system ? hostDaemon.unit : userUnit();
  if (!print) mkdirSync(home, { recursive: true, mode: 0o700 });
  const installed = print
    ? { node: process.execPath, script: join(home, "versions/DIGEST/daemon.mjs") }
    : await installDaemon(home);
  const unit = formatUnit({ ...installed, home, socket, ...(system ? { group: hostDaemon.group } : {}) });
  if (print) return writeOut(`# ${path}\n${unit}`);
  if (system) await command("groupadd", "--system", "--force", hostDaemon.group);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, unit);
  const scope = system ? [] : ["--user"];
  await command("systemctl", ...scope, "daemon-reload");
  // One that runs already owns the folder; its machines go on.
  await withClient((client) => client.host.shutDown(), { autostart: false }).catch(() => {});
  await command("systemctl", ...scope, "enable", "thaw.service");
  await command("systemctl", ...scope, "restart", "thaw.service");
  writeOut(`${path}\n`);
  if (system) writeOut(`who may use it: usermod -aG ${hostDaemon.group} USER\n`);
  else writeOut("to keep it when you log out: loginctl enable-linger\n");
}
