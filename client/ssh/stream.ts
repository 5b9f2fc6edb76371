import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Duplex, type Readable, type Writable } from "node:stream";
import type { SshHost } from "../contexts/remote.ts";
import { checkSocketFolder, findRuntimeFolder } from "../paths.ts";
import { sshArgv } from "./argv.ts";
import { describeNoSsh, describeSshEnd } from "./failure.ts";
import { LastLines } from "./last-lines.ts";

/** How long stderr may take to end after ssh has: a connection that is shared may keep it open. */
const LAST_WORDS_MS = 1000;

type Ssh = ChildProcessByStdio<Writable, Readable, Readable>;

/** The folder for the sockets of shared connections; undefined when it can't be made. */
function prepareControlFolder(): string | undefined {
  const folder = findRuntimeFolder();
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch {
    return undefined;
  }
  checkSocketFolder(join(folder, "ssh"));
  return folder;
}

/**
 * One connection to a far daemon: what is written goes to its socket, what it says is read. Ends with the daemon's end of the connection;
 * is destroyed with a ThawError that says why when ssh fails. Stands in for a `net.Socket` towards node:http.
 */
export class SshStream extends Duplex {
  readonly #child: Ssh;
  readonly #remote: SshHost;
  readonly #said = new LastLines();
  #answered = false;

  constructor(remote: SshHost) {
    super();
    this.#remote = remote;
    const [command, ...args] = sshArgv(remote, {
      ssh: process.env.THAW_SSH,
      controlFolder: prepareControlFolder(),
    });
    // a session of its own: Ctrl-C is for the command at the far end, and not for ssh
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
    this.#listen(command);
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    // one that is gone says why by its exit
    this.#child.stdin.write(chunk, () => done());
  }

  override _final(done: () => void): void {
    this.#child.stdin.end();
    done();
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const { stdin, stdout, stderr } = this.#child;
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
    // one that works ends by itself, after what it was given is sent
    if (!this.#answered) this.#child.kill();
    done(error);
  }

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  #listen(command: string): void {
    const { stdin, stdout, stderr } = this.#child;
    const exited = Promise.withResolvers<[number | null, string | null]>();
    const outEnded = Promise.withResolvers<void>();
    const errEnded = Promise.withResolvers<void>();
    this.#child.once("error", (error) => this.destroy(describeNoSsh(command, error)));
    this.#child.once("exit", (code, signal) => exited.resolve([code, signal]));
    stdin.on("error", () => {});
    stdout.on("error", () => {});
    stdout.on("data", (chunk: Buffer) => {
      this.#answered = true;
      if (!this.push(chunk)) stdout.pause();
    });
    stdout.once("close", outEnded.resolve);
    stderr.on("error", () => {});
    stderr.on("data", (chunk: Buffer) => this.#said.push(chunk));
    stderr.once("close", errEnded.resolve);
    const ended = Promise.all([exited.promise, outEnded.promise]);
    ended
      .then(async ([[code, signal]]) => {
        const late = setTimeout(errEnded.resolve, LAST_WORDS_MS);
        await errEnded.promise;
        clearTimeout(late);
        this.#end(code, signal);
      })
      .catch((error: Error) => this.destroy(error));
  }

  #end(code: number | null, signal: string | null): void {
    if (this.destroyed) return;
    if (code === 0 && this.#answered) this.push(null);
    else {
      const { lines } = this.#said;
      this.destroy(describeSshEnd({ remote: this.#remote, code, signal, lines, answered: this.#answered }));
    }
  }
}
