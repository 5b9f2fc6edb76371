/** The terminals of a sandbox: its commands that run, and shells that are started here. */
import { type KeyboardEvent, useId, useRef, useState } from "react";
import { formatCommand } from "../../api/ending.ts";
import { LOGIN_SHELL } from "../../api/own-commands.ts";
import { type Exec, newId, type Thaw } from "../../client/browser.ts";
import type { TerminalSession } from "./session.ts";
import { Terminal } from "./terminal.tsx";
import "./terminal.css";

const MAX_TITLE = 40;
const READER_KEY = "thaw-terminal-screen-reader";

interface Tab {
  /** Id of its command. */
  exec: string;
  title: string;
  /** A shell that is started here: to close its tab ends it. */
  isOwn: boolean;
}

export interface TerminalsProps {
  thaw: Thaw;
  /** Its id. */
  sandbox: string;
  /** The sandbox's commands; those that run are shown. */
  execs: readonly Exec[];
  /** What to be called towards others at the same command. */
  as?: string | undefined;
}

const newShell = (): Tab => ({ exec: newId(), title: formatCommand(LOGIN_SHELL), isOwn: true });
const tabOf = ({ id, argv }: Exec): Tab => ({
  ...{ exec: id, title: formatCommand(argv, MAX_TITLE) },
  isOwn: false,
});

export function Terminals({ thaw, sandbox, execs, as }: TerminalsProps) {
  const id = useId();
  const running = execs.filter(({ state }) => state === "running");
  const [opened, setOpened] = useState<readonly Tab[]>(() => {
    const terminal = running.findLast(({ tty }) => tty);
    return [terminal === undefined ? newShell() : tabOf(terminal)];
  });
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const [shownExec, setShown] = useState(opened[0]?.exec);
  const [focused, setFocused] = useState(shownExec);
  const [screenReader, setScreenReader] = useState(() => localStorage.getItem(READER_KEY) === "on");
  const sessions = useRef(new Map<string, TerminalSession>());
  const known = new Set([...closed, ...opened.map(({ exec }) => exec)]);
  const tabs = [...opened, ...running.filter((exec) => !known.has(exec.id)).map(tabOf)];
  const shown = tabs.find(({ exec }) => exec === shownExec) ?? tabs[0];

  /** @param focus undefined: the tab keeps it, as who goes through the tabs by the keyboard expects */
  const show = (tab: Tab, focus?: "focus"): void => {
    setOpened((before) => (before.some(({ exec }) => exec === tab.exec) ? before : [...before, tab]));
    setShown(tab.exec);
    setFocused(focus && tab.exec);
    if (focus !== undefined) sessions.current.get(tab.exec)?.focus();
  };
  const close = (tab: Tab): void => {
    if (tab.isOwn) sessions.current.get(tab.exec)?.hangUp();
    setClosed((before) => new Set([...before, tab.exec]));
    setOpened((before) => before.filter(({ exec }) => exec !== tab.exec));
  };
  const switchReader = (on: boolean): void => {
    localStorage.setItem(READER_KEY, on ? "on" : "off");
    setScreenReader(on);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Delete" && shown !== undefined) return close(shown);
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = shown && tabs[(tabs.indexOf(shown) + step + tabs.length) % tabs.length];
    if (step === 0 || next === undefined) return;
    event.preventDefault();
    show(next);
    document.getElementById(`${id}-${next.exec}`)?.focus();
  };
  return (
    <div className="terminals">
      <div className="terminal-tabs">
        <div role="tablist" aria-label="Terminals" tabIndex={-1} onKeyDown={onKeyDown}>
          {tabs.map((tab) => (
            <button
              key={tab.exec}
              type="button"
              role="tab"
              id={`${id}-${tab.exec}`}
              aria-selected={tab === shown}
              tabIndex={tab === shown ? 0 : -1}
              aria-keyshortcuts="Delete"
              onClick={() => show(tab, "focus")}
            >
              <bdi>{tab.title}</bdi>
            </button>
          ))}
        </div>
        {shown !== undefined && (
          <button
            type="button"
            className="close"
            aria-label={`Close ${shown.title}`}
            onClick={() => close(shown)}
          >
            ×
          </button>
        )}
        <button type="button" onClick={() => show(newShell(), "focus")}>
          New shell
        </button>
        <label>
          <input
            type="checkbox"
            checked={screenReader}
            onChange={({ target }) => switchReader(target.checked)}
          />
          Screen reader
        </label>
      </div>
      {tabs
        .filter((tab) => opened.includes(tab) || tab === shown)
        .map((tab) => (
          <Terminal
            key={tab.exec}
            {...{ thaw, sandbox, as, screenReader }}
            exec={tab.exec}
            starts={tab.isOwn}
            isShown={tab === shown}
            wantsFocus={tab === shown && tab.exec === focused}
            onSession={(session) => {
              if (session === undefined) sessions.current.delete(tab.exec);
              else sessions.current.set(tab.exec, session);
            }}
            onNewShell={() => show(newShell(), "focus")}
          />
        ))}
      {tabs.length === 0 && <p className="dim">No terminal is open.</p>}
    </div>
  );
}
