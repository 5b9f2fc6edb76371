/**
 * An emulated machine whose CPU has AMD's virtualisation, so that `/dev/kvm` works in it on a host that has none. Its disks outlive it: it can be
 * rebooted, and lose its power. It is reached by ssh, through a port on loopback.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { quoteForShell } from "../../client/shell-quote.ts";

const BOOT_MS = 600_000;
const COMMAND_MS = 600_000;

export interface Answer {
  code: number | undefined;
  out: string;
  err: string;
}

export interface MachineOptions {
  /** Made by image.sh. */
  image: string;
  /** Folder of its own, for its disks, its key and its console. */
  dir: string;
  /** Fills the folder that becomes /data. */
  data(folder: string): Promise<void>;
}

export class EmulatedMachine {
  readonly #image: string;
  readonly #dir: string;
  #process: ChildProcess | undefined;
  #port = 0;

  private constructor({ image, dir }: MachineOptions) {
    this.#image = image;
    this.#dir = dir;
  }

  /** Makes the disks and the key. It is off. */
  static async make(options: MachineOptions): Promise<EmulatedMachine> {
    const { dir, image } = options;
    const key = join(dir, "key");
    await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    const data = join(dir, "data");
    mkdirSync(data, { mode: 0o755 });
    cpSync(`${key}.pub`, join(data, "authorized_keys"));
    chmodSync(join(data, "authorized_keys"), 0o600);
    await options.data(data);
    await execa("mke2fs", ["-q", "-t", "ext4", "-d", data, join(dir, "data.img"), "12G"]);
    const backing = ["-F", "raw", "-b", join(image, "root.img")];
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", ...backing, join(dir, "root.qcow2")]);
    return new EmulatedMachine(options);
  }

  /** Resolves once it answers on ssh. Rejects with its console's last lines. */
  async start(): Promise<void> {
    this.#port = await freePort();
    const console = join(this.#dir, "console.log");
    writeFileSync(console, "");
    const log = openSync(join(this.#dir, "qemu.log"), "a");
    // It does not outlive the tests, however they end; unless it is kept, to look into it.
    const tied = process.env.THAW_KEEP_HOME === undefined ? ["--pdeathsig", "KILL"] : [];
    const child = spawn("setpriv", [...tied, "qemu-system-x86_64", ...this.#argv(console)], {
      stdio: ["ignore", log, log],
    });
    this.#process = child;
    await this.reached();
  }

  /** Resolves once it answers on ssh: after `start`, and after a reboot. */
  async reached(): Promise<void> {
    const child = this.#process;
    const end = performance.now() + BOOT_MS;
    while (!(await greets(this.#port))) {
      const text = this.console();
      const ended = child?.exitCode !== null || child.signalCode !== null || text.includes("Kernel panic");
      if (ended || performance.now() > end)
        throw new Error(`the emulated machine ${ended ? "ended" : "did not answer"}:\n${text.slice(-3000)}`);
      await sleep(200);
    }
    // In the background it would hold a pipe open.
    await execa("ssh", [...this.#ssh(), "-M", "-N", "-f", "machine"], { stdio: "ignore" });
  }

  /** What it wrote to its console. */
  console(): string {
    return readFileSync(join(this.#dir, "console.log"), "utf8");
  }

  /** Runs a command in it as root. Never rejects on an exit code. */
  async run(argv: readonly string[], options: { input?: string; timeoutMs?: number } = {}): Promise<Answer> {
    const { exitCode, stdout, stderr } = await execa(
      "ssh",
      [...this.#ssh(), "machine", argv.map(quoteForShell).join(" ")],
      {
        reject: false,
        timeout: options.timeoutMs ?? COMMAND_MS,
        input: options.input ?? "",
      },
    );
    return { code: exitCode, out: stdout, err: stderr };
  }

  /** Reboots it as its operator would, and resolves once it answers again. */
  async reboot(): Promise<void> {
    const before = await this.#bootId();
    await this.run(["systemctl", "reboot"]);
    for (;;) {
      await execa("ssh", [...this.#ssh(), "-O", "exit", "machine"], { reject: false });
      await this.reached();
      if ((await this.#bootId()) !== before) return;
      await sleep(500);
    }
  }

  /** Its power goes, without warning. */
  async cutPower(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
    await execa("ssh", [...this.#ssh(), "-O", "exit", "machine"], { reject: false });
  }

  async #bootId(): Promise<string> {
    return (await this.run(["cat", "/proc/sys/kernel/random/boot_id"])).out;
  }

  /** One CPU: with several, QEMU's emulation once broke kernel code that was being patched. */
  #argv(console: string): string[] {
    const drive = (file: string, format: string): string[] => [
      "-drive",
      `file=${join(this.#dir, file)},format=${format},if=virtio,cache=unsafe`,
    ];
    return [
      ...[
        "-name",
        "thaw-test-kvm",
        "-M",
        "q35",
        "-accel",
        "tcg,thread=single,tb-size=1024",
        "-cpu",
        "EPYC-Rome",
      ],
      ...[
        "-smp",
        "1",
        "-m",
        "5G",
        "-nodefaults",
        "-no-user-config",
        "-nographic",
        "-serial",
        `file:${console}`,
      ],
      ...["-kernel", join(this.#image, "vmlinuz"), "-initrd", join(this.#image, "initrd")],
      ...["-append", "console=ttyS0 quiet panic=0 mitigations=off"],
      ...drive("root.qcow2", "qcow2"),
      ...drive("data.img", "raw"),
      ...["-netdev", `user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:${this.#port}-:22`],
      ...["-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"],
    ];
  }

  #ssh(): string[] {
    return [
      ...["-F", "none", "-i", join(this.#dir, "key"), "-p", String(this.#port), "-l", "root"],
      ...[
        "-o",
        "HostName=127.0.0.1",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "LogLevel=ERROR",
      ],
      ...[
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        `ControlPath=${join(this.#dir, "ssh")}`,
        "-o",
        "ConnectTimeout=60",
      ],
    ];
  }
}

/** A port on loopback that nobody has now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Whether an sshd speaks there. QEMU takes the connection whether or not somebody listens behind it. */
function greets(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.once("data", () => resolve(true));
  socket.once("error", () => resolve(false));
  socket.once("close", () => resolve(false));
  return promise.finally(() => socket.destroy());
}
