/**
 * What starts keepers: the program `thaw-keeper starter`, a small child of this process. To start a process, the kernel copies the tables of all
 * memory of the one that starts it; for this one that takes 10 to 50 ms, in which its loop stands still. Its requests and answers are those of
 * runners/native/src/starter.rs.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { paced } from "../../host/pace.ts";
import { RunnerError } from "../runner.ts";

/** As the program has it. */
const MAX_REQUEST_BYTES = 1 << 20;
/** A start that was given up is answered at once, unless the starter hangs. */
const CANCEL_TIMEOUT_MS = 3_000;

interface Starter {
  /** Pipes, which Node makes as sockets. */
  stdin: Socket;
  stdout: Socket;
  /** By the number of the request. All are rejected when it ends. */
  waiting: Map<string, PromiseWithResolvers<string>>;
  kill(why: string): void;
}

export class KeeperStarter {
  readonly #path: string;
  #starter: Starter | undefined;
  #last = 0;

  /** @param path the `thaw-keeper` program */
  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Starts `thaw-keeper run ARGS…`.
   * @param inherit open descriptors that it has from 3 on, opened anew for the same use. Keep them open until this has settled.
   * @returns the first line that it wrote; empty when it ended without one, or was killed because of `signal`
   */
  async start(args: readonly string[], inherit: readonly number[], signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const number = String(++this.#last);
    const message = request([number, "start", inherit.join(","), ...args]);
    this.#starter ??= this.#open();
    const { stdin, stdout, waiting, kill } = this.#starter;
    const answer = Promise.withResolvers<string>();
    waiting.set(number, answer);
    stdout.ref();
    let hangs: NodeJS.Timeout | undefined;
    const cancel = (): void => {
      stdin.write(request([number, "cancel"]));
      hangs = setTimeout(() => kill("it did not answer, and was killed"), paced(CANCEL_TIMEOUT_MS));
    };
    signal.addEventListener("abort", cancel);
    stdin.write(message);
    try {
      return await answer.promise;
    } finally {
      clearTimeout(hangs);
      signal.removeEventListener("abort", cancel);
      waiting.delete(number);
      if (waiting.size === 0) stdout.unref();
    }
  }

  #open(): Starter {
    const child = this.#spawn();
    const [stdin, stdout] = [child.stdin as Socket, child.stdout as Socket];
    let ending = "it has ended";
    const waiting: Starter["waiting"] = new Map();
    const starter: Starter = {
      ...{ stdin, stdout, waiting },
      kill(why) {
        ending = why;
        child.kill("SIGKILL");
      },
    };
    const gone = (failure: RunnerError): void => {
      if (this.#starter === starter) this.#starter = undefined;
      for (const answer of waiting.values()) answer.reject(failure);
    };
    child.once("error", (error) => gone(this.#failure(error)));
    // Once all of its answers have been read.
    child.once("close", () => gone(new RunnerError("start-failed", `${this.#path}: ${ending}`)));
    // Told by the end of the process.
    for (const stream of [stdin, stdout]) stream.on("error", () => {});
    createInterface({ input: stdout }).on("line", (line) => {
      const space = line.indexOf(" ");
      waiting.get(line.slice(0, space))?.resolve(line.slice(space + 1));
    });
    // A process that has nothing else to do ends, and this with it.
    child.unref();
    stdin.unref();
    stdout.unref();
    return starter;
  }

  #spawn(): ChildProcess {
    let child: ChildProcess;
    try {
      child = spawn(this.#path, ["starter"], { env: {}, cwd: "/", stdio: ["pipe", "pipe", "ignore"] });
    } catch (error) {
      throw this.#failure(error as Error);
    }
    if (child.stdin && child.stdout) return child;
    // Node has made no pipes, and tells why by an event only.
    child.once("error", () => {});
    throw this.#failure(new Error("too many open files"));
  }

  #failure(error: NodeJS.ErrnoException): RunnerError {
    return error.code === "ENOENT"
      ? new RunnerError("missing-tool", `${this.#path}: ${error.message}`, { hint: "npm run build" })
      : new RunnerError("start-failed", `${this.#path}: ${error.message}`);
  }
}

/** A length, and words with a NUL between them. */
function request(words: readonly string[]): Buffer {
  if (words.some((word) => word.includes("\0")))
    throw new RunnerError("start-failed", "an argument has a NUL in it");
  const text = Buffer.from(words.join("\0"));
  if (text.length > MAX_REQUEST_BYTES)
    throw new RunnerError(
      "start-failed",
      `the arguments of a machine have more than ${MAX_REQUEST_BYTES} bytes`,
    );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text]);
}
