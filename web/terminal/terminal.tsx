/** One terminal with what belongs to it: its state, the search, who writes. */
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import type { Exec, Thaw } from "../../client/browser.ts";
import { OPENING, TerminalSession, type TerminalState } from "./session.ts";

export interface TerminalProps {
  thaw: Thaw;
  sandbox: string;
  /** Id of the command to join. */
  exec: string;
  /** A login shell is started with that id first. */
  starts: boolean;
  as?: string | undefined;
  /** Whether it is in front of the others. */
  isShown: boolean;
  /** Whether it gets what is typed. */
  wantsFocus: boolean;
  screenReader: boolean;
  onSession?: ((session: TerminalSession | undefined) => void) | undefined;
  onNewShell: () => void;
}

/** The session of a terminal in an element, as long as the component is there. */
export function useTerminal(props: TerminalProps & { onSearch: () => void; onLeave: () => void }) {
  const { thaw, sandbox, exec, starts } = props;
  const element = useRef<HTMLDivElement>(null);
  const [state, setState] = useState<TerminalState>(OPENING);
  const [session, setSession] = useState<TerminalSession>();
  const latest = useRef(props);
  latest.current = props;
  useEffect(() => {
    if (element.current === null) return;
    const opened = new TerminalSession({
      ...{ thaw, sandbox, exec, starts, element: element.current },
      // Without a session there is no name; the terminal stays as it is.
      as: latest.current.as,
      screenReader: latest.current.screenReader,
      onState: setState,
      onSearch: () => latest.current.onSearch(),
      onLeave: () => latest.current.onLeave(),
    });
    setSession(opened);
    latest.current.onSession?.(opened);
    return () => {
      opened.dispose();
      latest.current.onSession?.(undefined);
    };
  }, [thaw, sandbox, exec, starts]);
  return { element, state, session };
}

export function Terminal(props: TerminalProps) {
  const { isShown, wantsFocus, screenReader } = props;
  const [isSearching, setSearching] = useState(false);
  const searchBox = useRef<HTMLInputElement>(null);
  const bar = useRef<HTMLDivElement>(null);
  const onSearch = (): void => {
    setSearching(true);
    searchBox.current?.select();
  };
  const onLeave = (): void => bar.current?.focus();
  const { element, state, session } = useTerminal({ ...props, onSearch, onLeave });
  const takeOver = (): void => {
    session?.takeOver();
    session?.focus();
  };
  const endSearch = (): void => {
    setSearching(false);
    session?.search("", "here");
    session?.focus();
  };
  useEffect(() => {
    if (session !== undefined) session.screenReader = screenReader;
  }, [session, screenReader]);
  useEffect(() => {
    if (wantsFocus && state.phase === "open") session?.focus();
  }, [session, wantsFocus, state.phase]);
  return (
    <section className="terminal" hidden={!isShown} aria-label="Terminal" data-phase={state.phase}>
      <div className="terminal-bar" ref={bar} tabIndex={-1}>
        <Status state={state} />
        {state.writer !== undefined && state.phase === "open" && (
          <button type="button" onClick={takeOver}>
            Take over
          </button>
        )}
        {(state.phase === "ended" || state.phase === "failed") && (
          <button type="button" onClick={props.onNewShell}>
            New shell
          </button>
        )}
        {isSearching ? (
          <SearchBox box={searchBox} state={state} session={session} onEnd={endSearch} />
        ) : (
          <button type="button" onClick={onSearch} title="Ctrl-F. Shift-Escape leaves the terminal">
            Search
          </button>
        )}
      </div>
      <div className="terminal-screen" ref={element} />
      {state.link !== undefined && <p className="terminal-link">{state.link}</p>}
    </section>
  );
}

function Status({ state }: { state: TerminalState }) {
  return (
    <p className="terminal-status" role="status" data-bad={state.phase === "failed"}>
      {describe(state)}
      {state.isCut && " · earlier output is no longer kept"}
      {state.trouble?.hint !== undefined && <span className="dim"> {state.trouble.hint}</span>}
    </p>
  );
}

function describe({ phase, writer, exec, trouble }: TerminalState): string {
  if (phase === "opening") return "opening …";
  if (phase === "lost") return "reconnecting …";
  if (phase === "failed") return trouble?.message ?? "failed";
  if (phase === "ended") return describeEnd(exec);
  if (writer !== undefined) return writer.name === null ? "watching" : `watching: ${writer.name} writes`;
  return "";
}

function describeEnd(exec: Exec | undefined): string {
  const { exit, error } = exec ?? {};
  if (exit === null || exit === undefined) return error?.message ?? "ended";
  if (exit.timedOut) return "ended: it ran out of time";
  if (exit.oom) return "killed: out of memory";
  return exit.signal === null ? `exited with code ${exit.code}` : `ended by ${exit.signal}`;
}

interface SearchBoxProps {
  box: React.RefObject<HTMLInputElement | null>;
  state: TerminalState;
  session: TerminalSession | undefined;
  onEnd: () => void;
}

function SearchBox({ box, state: { found }, session, onEnd }: SearchBoxProps) {
  const id = useId();
  const [text, setText] = useState("");
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Escape") onEnd();
    else if (event.key === "Enter" && event.target === box.current)
      session?.search(text, event.shiftKey ? "previous" : "next");
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <search className="terminal-search" onKeyDown={onKeyDown}>
      <label htmlFor={id}>Search</label>
      <input
        id={id}
        ref={box}
        // Somebody has just asked for it.
        // biome-ignore lint/a11y/noAutofocus: it opens by a key
        autoFocus
        value={text}
        autoComplete="off"
        spellCheck={false}
        onChange={({ target }) => {
          setText(target.value);
          session?.search(target.value, "here");
        }}
      />
      <output htmlFor={id}>{found === undefined ? "" : `${found.index + 1} of ${found.count}`}</output>
      <button type="button" onClick={() => session?.search(text, "previous")}>
        Previous
      </button>
      <button type="button" onClick={() => session?.search(text, "next")}>
        Next
      </button>
      <button type="button" onClick={onEnd}>
        Done
      </button>
    </search>
  );
}
