/**
 * What starts keepers: the program `thaw-keeper starter`, a small child of this process. To start a process, the kernel copies the tables of all
 * memory of the one that starts it; for this one that takes 10 to 50 ms, in which its loop stands still. Its requests and answers are those of
 * runners/native/src/starter.rs.
 */
import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { RunnerError } from "../runner.ts";

/** Its pipes, which Node makes as sockets. */
interface Streams {
  stdin: Socket;
  stdout: Socket;
}

export class KeeperStarter {
  readonly #path: string;
  #child: Streams | undefined;
  #last = 0;
  readonly #waiting = new Map<string, PromiseWithResolvers<string>>();

  /** @param path the `thaw-keeper` program */
  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Starts `thaw-keeper run ARGS…`.
   * @param inherit open descriptors that it has from 3 on, opened anew for the same use
   * @returns the first line that it wrote; empty when it ended without one, or was killed because of `signal`
   */
  async start(args: readonly string[], inherit: readonly number[], signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    this.#child ??= this.#open();
    const child = this.#child;
    this.#last += 1;
    const number = String(this.#last);
    const answer = Promise.withResolvers<string>();
    this.#waiting.set(number, answer);
    child.stdout.ref();
    const send = (...words: string[]): void => void child.stdin.write(request([number, ...words]));
    const cancel = (): void => send("cancel");
    signal.addEventListener("abort", cancel);
    send("start", inherit.join(","), ...args);
    try {
      return await answer.promise;
    } finally {
      signal.removeEventListener("abort", cancel);
      this.#waiting.delete(number);
      if (this.#waiting.size === 0) child.stdout.unref();
    }
  }

  #open(): Streams {
    const child = spawn(this.#path, ["starter"], { env: {}, cwd: "/", stdio: ["pipe", "pipe", "ignore"] });
    const gone = (error?: NodeJS.ErrnoException): void => {
      this.#child = undefined;
      const failure =
        error?.code === "ENOENT"
          ? new RunnerError("missing-tool", `${this.#path}: ${error.message}`, { hint: "npm run build" })
          : new RunnerError("start-failed", `${this.#path}: ${error?.message ?? "it has ended"}`);
      for (const answer of this.#waiting.values()) answer.reject(failure);
    };
    child.once("error", gone);
    child.once("exit", () => gone());
    // Told by the end of the process.
    child.stdin.on("error", () => {});
    createInterface({ input: child.stdout }).on("line", (line) => {
      const space = line.indexOf(" ");
      this.#waiting.get(line.slice(0, space))?.resolve(line.slice(space + 1));
    });
    // A process that has nothing else to do ends, and this with it.
    child.unref();
    const [stdin, stdout] = [child.stdin as Socket, child.stdout as Socket];
    stdin.unref();
    stdout.unref();
    return { stdin, stdout };
  }
}

/** A length, and words with a NUL between them. */
function request(words: readonly string[]): Buffer {
  const text = Buffer.from(words.join("\0"));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text]);
}
