/** A real terminal: a tmux of the test's own, driven by keys and read by its screen. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { thawBin, thawEnv, until } from "./thaw.ts";

export class Terminal implements AsyncDisposable {
  readonly #socket: string;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#socket = join(folder, "tmux");
  }

  /** Opens a terminal of 80 × 24 with a shell in which `thaw` is the built command. @param more variables of the shell */
  static async open(more: Record<string, string> = {}): Promise<Terminal> {
    const terminal = new Terminal(mkdtempSync(join(tmpdir(), "thaw-tmux-")));
    const shell = ["bash", "--norc", "--noprofile"];
    const env = {
      ...thawEnv(),
      PS1: "host> ",
      TERM: "xterm-256color",
      NODE: process.execPath,
      HISTFILE: "",
      ...more,
    };
    await terminal.#tmux(["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", ...shell], env);
    await terminal.until("host>");
    await terminal.type(`thaw() { "$NODE" ${join(process.cwd(), thawBin)} "$@"; }; clear; echo ready`);
    // The shell has prepared its terminal by then: its settings are what they are at every prompt.
    await terminal.until(/^ready\nhost> $/m);
    return terminal;
  }

  /** Types a line and Enter. */
  async type(line: string): Promise<void> {
    await this.#tmux(["send-keys", "-l", line]);
    await this.press("Enter");
  }

  /** Presses keys by tmux' names, e.g. `C-c`. */
  async press(...keys: string[]): Promise<void> {
    await this.#tmux(["send-keys", ...keys]);
  }

  /** Types a line the moment that the screen shows a text. */
  async typeOn(shown: string, line: string): Promise<void> {
    const look = `until tmux -S ${this.#socket} capture-pane -p | grep -q '${shown}'; do :; done`;
    await this.#tmux(["run-shell", look, ";", "send-keys", "-l", line, ";", "send-keys", "Enter"]);
  }

  async resize(cols: number, rows: number): Promise<void> {
    await this.#tmux(["resize-window", "-x", String(cols), "-y", String(rows)]);
  }

  /** What tmux says of the terminal, by its formats. */
  async ask(format: string): Promise<string> {
    return this.#tmux(["display-message", "-p", format]);
  }

  /** What programs in the terminal have put on the clipboard. */
  async clipboard(): Promise<string> {
    return this.#tmux(["list-buffers"]);
  }

  /** The rows that the screen shows now. @param colours keep the sequences that colour them */
  async rows({ colours = false } = {}): Promise<string[]> {
    return (await this.#tmux(["capture-pane", "-p", ...(colours ? ["-e"] : [])])).split("\n");
  }

  async clear(): Promise<void> {
    await this.#tmux(["send-keys", "-R"]);
    await this.#tmux(["clear-history"]);
  }

  /** The screen as text. */
  async screen(): Promise<string> {
    return this.#tmux(["capture-pane", "-p", "-J", "-S", "-200"]);
  }

  /** The process id of the terminal's shell. */
  async shellPid(): Promise<number> {
    return Number(await this.#tmux(["display-message", "-p", "#{pane_pid}"]));
  }

  /** The process id of the program that the shell runs. */
  async programPid(): Promise<number> {
    const { stdout } = await execa("pgrep", ["-P", String(await this.shellPid())]);
    return Number(stdout.split("\n")[0]);
  }

  /** Waits until the screen shows what is wanted. @returns the screen. */
  async until(wanted: string | RegExp): Promise<string> {
    let screen = "";
    const shows = async (): Promise<boolean> => {
      screen = await this.screen();
      return typeof wanted === "string" ? screen.includes(wanted) : wanted.test(screen);
    };
    await until(shows, `the terminal to show ${wanted}`).catch((error: Error) => {
      throw new Error(`${error.message}; it shows:\n${screen}`);
    });
    return screen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tmux(["kill-server"]).catch(() => {});
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #tmux(args: string[], env: Record<string, string> = {}): Promise<string> {
    const { stdout } = await execa("tmux", ["-S", this.#socket, ...args], { env: { TMUX: "", ...env } });
    return stdout;
  }
}
