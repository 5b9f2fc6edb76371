/** Does what a verb says, and notes it as the thaw command that it equals. */
import { type Thaw, troubleOf } from "../../client/index.ts";
import { openInBrowser } from "../browser.ts";
import { copyToClipboard } from "./clipboard.ts";
import { formatArgs, splitLine } from "./command-line.ts";
import { runInBackground, runInTerminal } from "./run-command.ts";
import { chosenRows, cursorIndex, listRows } from "./state/rows.ts";
import type { Job, State } from "./state/state.ts";
import type { Store } from "./state/store.ts";
import { viewOf } from "./views/index.ts";
import type { Row, Verb, World } from "./views/view.ts";

/** Jobs that are remembered, and lines of each. */
const KEPT_JOBS = 200;
const KEPT_OUTPUT = 20;

export interface Surroundings {
  store: Store;
  client: (context: string) => Thaw;
  /** The context that a command works on when none is said. */
  current: string;
  /** Leaves the terminal to `work`, and takes it back. */
  handOver: <T>(work: () => Promise<T>) => Promise<T>;
  signal: AbortSignal;
}

export class Actor {
  readonly #around: Surroundings;
  #lastJob = 0;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** A verb's key was pressed. */
  press(verb: Verb<Row>): void {
    const { store } = this.#around;
    const { state } = store;
    const view = viewOf(state.view);
    const listing = listRows(view, state);
    const list = state.lists[state.view];
    const here = listing.rows[cursorIndex(listing, list)];
    const isBulk = verb.kind === "call" || verb.kind === "count";
    const rows = isBulk ? chosenRows(listing, list) : here === undefined ? [] : [here];
    const isRowless = verb.kind === "form" || (verb.kind === "line" && verb.rowless === true);
    if (rows.length === 0 && !isRowless) return;
    const refusals = rows.flatMap((row) => verb.refusal?.(row) ?? []);
    if (refusals.length > 0) return this.#say({ text: refusals[0] ?? "", tone: "bad" });
    const keys = rows.map(({ key }) => key);
    if (verb.kind === "call" && verb.question !== undefined)
      store.set({ prompt: { kind: "confirm", lines: verb.question(rows, state), verb: verb.key, keys } });
    else if (verb.kind === "count")
      store.set({
        prompt: { kind: "count", title: verb.title, text: String(verb.initial), verb: verb.key, keys },
      });
    else if (verb.kind === "line") {
      const context = here?.context ?? this.#around.current;
      const line = `${formatArgs(verb.args(here), context, this.#around.current)} ${verb.rest ?? ""}`;
      store.set({ prompt: { kind: "command", text: line, context } });
    } else if (verb.kind === "form") {
      const { current } = this.#around;
      const context = here?.context ?? current;
      const fields = verb.fields(state, context);
      store.set({ prompt: { kind: "form", args: verb.args, fields, at: 0, context, current } });
    } else this.#do(verb, rows);
  }

  /** The question of a verb was answered with yes, or with a number. */
  confirm(verbKey: string, keys: readonly string[], count?: number): void {
    const { state } = this.#around.store;
    const view = viewOf(state.view);
    const verb = view.verbs.find(({ key }) => key === verbKey);
    const { rows, indexOf } = listRows(view, state);
    // a row that went meanwhile needs nothing more
    const chosen = keys.flatMap((key) => rows[indexOf.get(key) ?? -1] ?? []);
    if (verb !== undefined) this.#do(verb, chosen, count);
  }

  /** Runs a command line that the user has completed. */
  async runLine(line: string): Promise<void> {
    try {
      const words = splitLine(line);
      if (words[0] === "thaw") words.shift();
      const at = words[0] === "--context" ? words.splice(0, 2)[1] : undefined;
      const [verb] = words;
      if (verb === undefined) return;
      await this.#note(line.trim(), async () => {
        const { code, output } = await runInBackground(
          at ?? this.#around.current,
          words,
          this.#around.signal,
        );
        if (code !== 0)
          throw Object.assign(new Error(output.at(0) ?? `the command ended with exit code ${code}`), {
            output,
          });
        return { said: output.at(-1) ?? "done", output };
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  copy(text: string, what: string): void {
    copyToClipboard(text);
    this.#say({ text: `copied ${what}: ${text.split("\n")[0]}`, tone: "good" });
  }

  #do(verb: Verb<Row>, rows: readonly Row[], count = 0): void {
    const { store } = this.#around;
    const world: World = { client: this.#around.client, state: () => store.state, update: store.update };
    if (verb.kind === "call" || verb.kind === "count") {
      for (const row of rows) {
        const args = verb.kind === "call" ? verb.args(row) : verb.args(row, count);
        const run = async () => ({
          said: verb.kind === "call" ? await verb.run(row, world) : await verb.run(row, count, world),
          output: [],
        });
        void this.#note(formatArgs(args, row.context, this.#around.current), run);
      }
      store.setList({ marked: new Set() });
    }
    const [row] = rows;
    if (row === undefined) return;
    if (verb.kind === "terminal") void this.#inTerminal(verb, row);
    if (verb.kind === "copy") this.copy(verb.text(row), verb.what);
    const url = verb.kind === "page" ? verb.url(row) : undefined;
    if (url !== undefined) this.#openPage(url);
  }

  #openPage(url: string): void {
    if (openInBrowser(url)) this.#say({ text: `opened ${url}`, tone: "good" });
    else this.copy(url, "the address");
  }

  async #inTerminal(verb: Verb<Row> & { kind: "terminal" }, row: Row): Promise<void> {
    const args = verb.args(row);
    const command = formatArgs(args, row.context, this.#around.current);
    try {
      await this.#around.handOver(async () => {
        const code = await runInTerminal(row.context, args, {
          isPaged: verb.isPaged,
          signal: this.#around.signal,
        });
        if (this.#around.signal.aborted) return;
        this.#add({ command, state: "done", output: code === 0 ? [] : [`exit code ${code}`] });
        if (isOfThaw(code)) await waitForEnter();
        const { current, store } = this.#around;
        if (code === 0 && verb.next !== undefined) {
          const text = formatArgs(verb.next(row), row.context, current);
          store.set({ prompt: { kind: "command", text, context: row.context } });
        }
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Does `work` and says what came of it. */
  async #note(
    command: string,
    work: () => Promise<{ said: string; output: readonly string[] }>,
  ): Promise<void> {
    const id = this.#add({ command, state: "running", output: [] });
    this.#say({ text: `${command} …`, tone: "dim" });
    try {
      const { said, output } = await work();
      this.#change(id, { state: "done", output: output.length > 0 ? output : [said] });
      this.#say({ text: said, tone: "good" });
    } catch (error) {
      if (this.#around.signal.aborted) return;
      const { message, hint } = troubleOf(error);
      const { output = [message, ...(hint === undefined ? [] : [hint])] } = error as { output?: string[] };
      this.#change(id, { state: "failed", output });
      this.#say({
        text: message,
        tone: "bad",
        hint: hint ?? output.find((line) => line.startsWith("hint:")),
      });
    }
  }

  #add(job: Omit<Job, "id" | "startedAt">): number {
    this.#lastJob += 1;
    const id = this.#lastJob;
    this.#around.store.update((state) => ({
      ...state,
      jobs: [...state.jobs, { ...job, id, startedAt: Date.now() }].slice(-KEPT_JOBS),
    }));
    return id;
  }

  #change(id: number, part: Partial<Job>): void {
    this.#around.store.update((state) => ({
      ...state,
      jobs: state.jobs.map((job) =>
        job.id === id ? { ...job, ...part, output: (part.output ?? job.output).slice(-KEPT_OUTPUT) } : job,
      ),
    }));
  }

  #say(message: State["message"]): void {
    this.#around.store.set({ message });
  }

  #fail(error: unknown): void {
    const { message, hint } = troubleOf(error);
    this.#say({ text: message, tone: "bad", hint });
  }
}

/** Whether an exit code says that thaw itself failed: what it said must be read before the screen is drawn over. */
function isOfThaw(code: number): boolean {
  return code === 125 || code === 2;
}

function waitForEnter(): Promise<void> {
  process.stdout.write("\n— press Enter to return to the dashboard —");
  return new Promise((resolve) => {
    process.stdin.once("data", () => {
      process.stdin.pause();
      resolve();
    });
    process.stdin.resume();
  });
}
