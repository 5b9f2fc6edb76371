/** Stands between a machine's control socket and whoever connects to it next, and lets single commands go wrong. */
import { rename } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { QMP_SOCKET } from "../../runners/qemu/argv.ts";
import type { MachineRecord } from "../../runners/runner.ts";

interface Command {
  execute: string;
  id: number;
  arguments?: Record<string, unknown>;
}

/** What becomes of a command; undefined: QEMU gets it and its answer comes back. */
export type Fault =
  /** QEMU never gets it; it is answered with an error. */
  | "refused"
  /** QEMU does it; the answer is an error. */
  | "answered-wrong"
  /** QEMU does it; no answer comes. */
  | "unanswered"
  /** QEMU gets these arguments, too, or instead. */
  | { arguments: Record<string, unknown> }
  | undefined;

export class QmpRelay implements AsyncDisposable {
  /** Asked about every command, before QEMU gets it. */
  onCommand: (command: string) => Fault = () => undefined;
  /** Told of every answer, before it is passed on. */
  onAnswer: (command: string) => void = () => {};
  readonly #path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(path: string) {
    this.#path = path;
    this.#server = createServer((client) => this.#serve(client));
  }

  /** Nobody may be connected to the machine. */
  static async before(record: MachineRecord): Promise<QmpRelay> {
    const path = join(record.runtimeDir, QMP_SOCKET);
    const relay = new QmpRelay(path);
    await rename(path, `${path}.real`);
    await new Promise<void>((resolve) => relay.#server.listen(path, resolve));
    return relay;
  }

  /** Fails the first command of this name. */
  failOnce(name: string, fault: Fault): void {
    let done = false;
    this.onCommand = (command) => {
      if (done || command !== name) return undefined;
      done = true;
      return fault;
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    await rename(`${this.#path}.real`, this.#path).catch(() => {});
  }

  #serve(client: Socket): void {
    const machine = connect(`${this.#path}.real`);
    const names = new Map<number, { name: string; fault: Fault }>();
    for (const socket of [client, machine]) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => {
        this.#sockets.delete(socket);
        client.destroy();
        machine.destroy();
      });
    }
    const error = (id: number, desc: string): string =>
      JSON.stringify({ id, error: { class: "GenericError", desc } });
    lines(client, (line) => {
      const command = JSON.parse(line) as Command;
      const fault = this.onCommand(command.execute);
      if (fault === "refused") return client.write(`${error(command.id, "refused by the test")}\n`);
      names.set(command.id, { name: command.execute, fault });
      if (typeof fault !== "object") return machine.write(`${line}\n`);
      return machine.write(
        `${JSON.stringify({ ...command, arguments: { ...command.arguments, ...fault.arguments } })}\n`,
      );
    });
    lines(machine, (line) => {
      const { id } = JSON.parse(line) as { id?: number };
      const of = id === undefined ? undefined : names.get(id);
      if (of) this.onAnswer(of.name);
      if (of?.fault === "unanswered") return undefined;
      if (of?.fault === "answered-wrong") return client.write(`${error(id ?? 0, "answered by the test")}\n`);
      return client.write(`${line}\n`);
    });
  }
}

function lines(socket: Socket, onLine: (line: string) => unknown): void {
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("utf8");
    const whole = text.split("\n");
    text = whole.pop() ?? "";
    for (const line of whole) if (line.trim() !== "") onLine(line);
  });
}
