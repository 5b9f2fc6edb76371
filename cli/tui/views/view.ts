/** What a view is made of. A new one is a folder with such an object, named in views/index.ts. */
import type { HostState, Thaw } from "../../../client/index.ts";
import type { Column } from "../draw/columns.ts";
import type { Line } from "../draw/text.ts";
import type { Field, State, ViewId } from "../state/state.ts";

/** A row of a list. */
export interface Row {
  /** Names it among all hosts: it stays the same while the row changes. */
  key: string;
  context: string;
  /** How people call it, in messages. */
  name: string;
  /** What the filter looks at. */
  text: string;
}

/** What a verb works with. */
export interface World {
  client: (context: string) => Thaw;
  state: () => State;
  update: (change: (state: State) => State) => void;
}

/** Something beneath the list that tells more of the row with the cursor. */
export interface Pane<R extends Row> {
  title: string;
  /** Lines that need no request: what the lists say of the row. */
  lines?(row: R, state: State, width: number): Line[];
  /** Asks the host, for as long as the pane is shown: each result replaces or adds lines. */
  follow?(client: Thaw, row: R, signal: AbortSignal): AsyncGenerator<PanePart, void>;
  /** What has to change for `follow` to start anew, besides the row. */
  version?(row: R): string;
}
export interface PanePart {
  lines: Line[];
  /** The lines replace those that the pane has. */
  anew?: boolean;
}

interface VerbBase<R extends Row> {
  key: string;
  /** A word or two, for the bottom line and the help. */
  label: string;
  /** A sentence, for the help and the docs. */
  help: string;
  /** Why it can't be done with this row; undefined when it can. */
  refusal?(row: R): string | undefined;
}

/** What a key does with rows. `args` are the words behind `thaw` that do the same. A `call` and a `count` are done with every marked row. */
export type Verb<R extends Row> = VerbBase<R> &
  (
    | {
        kind: "call";
        args(row: R): string[];
        /** Lines that say what is lost; asked before it is done. */
        question?(rows: readonly R[], state: State): string[];
        /** @returns what to say when it is done */
        run(row: R, world: World): Promise<string>;
      }
    | {
        kind: "count";
        title: string;
        initial: number;
        run(row: R, count: number, world: World): Promise<string>;
        args(row: R, count: number): string[];
      }
    /** A command line that the user completes; it runs in the background. */
    | { kind: "line"; args(row: R | undefined): string[]; rowless?: boolean; rest?: string }
    /** Fields that make a command line, which then runs in the background. No row is needed. */
    | { kind: "form"; args: readonly string[]; fields(state: State, context: string): Field[] }
    /** It has the terminal until it ends. `next`: what the user probably does then, as a command line to complete. */
    | { kind: "terminal"; args(row: R): string[]; isPaged?: boolean; next?(row: R): string[] }
    /** A page for the browser. */
    | { kind: "page"; url(row: R): string | undefined }
    /** Text for the clipboard. */
    | { kind: "copy"; text(row: R): string; what: string }
  );

export interface View<R extends Row = Row> {
  id: ViewId;
  title: string;
  rows(hosts: readonly HostState[]): R[];
  /** The parts of a host that `rows` reads: rows are made anew when one of them changes. Default: all. */
  parts?: readonly (keyof HostState)[];
  columns: readonly Column<R>[];
  groupings?: readonly { name: string; of?(row: R): string }[];
  panes: readonly Pane<R>[];
  verbs: readonly Verb<R>[];
  /** What to type when the list is empty. */
  empty: string;
}
