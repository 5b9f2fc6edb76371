/** A real sshd of the test's own on loopback, with keys made for it, and what a client needs to come in. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { isAlive, until } from "./processes.ts";

export interface SshdOptions {
  /** The far end's `thaw`, a shell script; none: there is no thaw on its PATH. */
  thaw?: string;
  /** More lines of sshd_config. */
  config?: readonly string[];
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function children(pid: number): Promise<number[]> {
  const { stdout } = await execa("pgrep", ["-P", String(pid)], { reject: false });
  return stdout.split("\n").filter(Boolean).map(Number);
}

export class Sshd implements AsyncDisposable {
  readonly url: string;
  readonly folder: string;
  /** For a client: which ssh to use, and configuration and runtime folders of its own. */
  readonly env: Readonly<Record<string, string>>;
  readonly #port: number;
  #pid = 0;

  private constructor({ folder, port }: { folder: string; port: number }) {
    this.folder = folder;
    this.#port = port;
    this.url = `ssh://${userInfo().username}@127.0.0.1:${port}`;
    this.env = {
      THAW_SSH: `ssh -F ${folder}/ssh_config`,
      THAW_CONFIG: `${folder}/config`,
      XDG_RUNTIME_DIR: `${folder}/run`,
    };
  }

  static async start({ thaw, config = [] }: SshdOptions): Promise<Sshd> {
    const folder = mkdtempSync(join(tmpdir(), "thaw-ssh-"));
    const port = await freePort();
    for (const name of ["bin", "home", "run"]) mkdirSync(join(folder, name), { mode: 0o700 });
    // what an sshd that no init system starts lacks
    mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    for (const key of ["host", "user"])
      await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, key)]);
    await execa("cp", [join(folder, "user.pub"), join(folder, "authorized_keys")]);
    const { stdout: hostKey } = await execa("cat", [join(folder, "host.pub")]);
    writeFileSync(join(folder, "known_hosts"), `[127.0.0.1]:${port} ${hostKey}\n`);
    if (thaw !== undefined) {
      writeFileSync(join(folder, "bin/thaw"), thaw);
      chmodSync(join(folder, "bin/thaw"), 0o755);
    }
    const lines = [
      ...[
        `Port ${port}`,
        "ListenAddress 127.0.0.1",
        `HostKey ${folder}/host`,
        "PidFile none",
        "StrictModes no",
      ],
      ...[`AuthorizedKeysFile ${folder}/authorized_keys`, "PermitRootLogin yes", "UsePAM no"],
      // nothing of this host's own thaw is to be found there
      ...config,
      `SetEnv PATH=${folder}/bin:/usr/bin:/bin XDG_STATE_HOME=${folder}/home`,
    ];
    writeFileSync(join(folder, "sshd_config"), `${lines.join("\n")}\n`);
    const client = [
      ...[`IdentityFile ${folder}/user`, "IdentitiesOnly yes", "StrictHostKeyChecking yes"],
      `UserKnownHostsFile ${folder}/known_hosts`,
    ];
    writeFileSync(join(folder, "ssh_config"), `${client.join("\n")}\n`);
    const sshd = new Sshd({ folder, port });
    await sshd.listen();
    return sshd;
  }

  /** Lets clients in, again after `stop`. */
  async listen(): Promise<void> {
    const { folder } = this;
    const server = execa("/usr/sbin/sshd", ["-D", "-E", `${folder}/log`, "-f", `${folder}/sshd_config`], {
      reject: false,
      cleanup: true,
    });
    this.#pid = server.pid ?? 0;
    await until(async () => {
      if (!isAlive(this.#pid)) throw new Error(`sshd ended: ${(await server).stderr}`);
      const { exitCode } = await execa("bash", ["-c", `exec 3<>/dev/tcp/127.0.0.1/${this.#port}`], {
        reject: false,
      });
      return exitCode === 0;
    }, "sshd to listen");
  }

  /** Ends every connection there is. @returns how many. */
  async drop(): Promise<number> {
    const connections = await children(this.#pid);
    for (const pid of connections) process.kill(pid, "SIGKILL");
    return connections.length;
  }

  /** Lets nobody in any more, and ends every connection. */
  async stop(): Promise<void> {
    const connections = await children(this.#pid);
    for (const pid of [this.#pid, ...connections]) if (isAlive(pid)) process.kill(pid, "SIGKILL");
    await until(() => !isAlive(this.#pid), "sshd to end");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
