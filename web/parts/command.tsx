/** Commands as they are typed in a terminal, and buttons that do the same. */
import { type ReactNode, useState } from "react";
import { visibleText } from "../../api/clean-text.ts";
import { quoteWord } from "../../api/ending.ts";
import { showKey } from "../../client/keymap.ts";
import { ask, type Question } from "../shell/dialog.tsx";
import { type Session, session } from "../state/session.ts";
import { startTask, type TaskRequest } from "../state/tasks.ts";
import { useValue } from "../state/value.ts";

/** The command line for these words behind `thaw`. */
export function commandLine(args: readonly string[]): string {
  return ["thaw", ...args.map(quoteWord)].join(" ");
}

const COPIED_MS = 1500;

export function CopyButton({ text, what = text }: { text: string; what?: string }) {
  const [said, setSaid] = useState<string>();
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("copied");
    } catch {
      setSaid("can't copy");
    }
    setTimeout(() => setSaid(undefined), COPIED_MS);
  };
  return (
    <button
      type="button"
      className="copy"
      aria-label={`Copy ${visibleText(what)}`}
      onClick={() => void copy()}
    >
      {said ?? "copy"}
    </button>
  );
}

export function CommandText({ args }: { args: readonly string[] }) {
  const line = commandLine(args);
  return (
    <span className="command">
      <code>{visibleText(line)}</code>
      <CopyButton text={line} />
    </span>
  );
}

export interface Action extends TaskRequest {
  label: string;
  /** A key of the dashboard that starts it. */
  shortcut?: string;
  /** Asked before it is done: what is lost. */
  question?: Question;
  /** Why it can't be done. */
  refusal?: string | undefined;
  isDangerous?: boolean;
  isPrimary?: boolean;
  /** Beside the button, such as a number. */
  extra?: ReactNode;
  /** Runs when it went well. */
  done?: () => void;
  /** In place of `run`: shows what is to be filled in first. */
  open?: () => void;
}

function mayOnlyLook(who: Session): boolean {
  return who.state === "in" && who.who.rights === "read";
}

/** Whether the session can change nothing: its forms are out of use. */
export function useMayOnlyLook(): boolean {
  return mayOnlyLook(useValue(session));
}

/** Why an action can't be started. */
function refusalOf({ refusal }: Action, who: Session): string | undefined {
  return mayOnlyLook(who) ? "Your session may only look." : refusal;
}

export async function act(action: Action): Promise<void> {
  const { question, done, open, ...request } = action;
  if (refusalOf(action, session.value) !== undefined) return;
  if (open !== undefined) return open();
  if (question !== undefined && !(await ask(question))) return;
  if (await startTask(request)) done?.();
}

/** A button, and beneath it the command that does the same. */
export function ActionButton({ action }: { action: Action }) {
  const { label, args, isDangerous, isPrimary, shortcut, extra } = action;
  const who = useValue(session);
  const refusal = refusalOf(action, who);
  return (
    <div className="action">
      <button
        type="button"
        className={isPrimary ? "primary" : isDangerous ? "danger" : undefined}
        disabled={refusal !== undefined}
        aria-keyshortcuts={shortcut === "return" ? "Enter" : shortcut}
        onClick={() => void act(action)}
      >
        {label}
        {shortcut !== undefined && <kbd aria-hidden="true">{showKey(shortcut)}</kbd>}
      </button>
      {extra}
      {refusal === undefined ? <CommandText args={args} /> : <span className="dim">{refusal}</span>}
    </div>
  );
}

/** A field beside a button. */
export function Value({
  label,
  value,
  set,
  hint,
}: {
  label: string;
  value: string;
  set: (value: string) => void;
  hint?: string;
}) {
  return (
    <label className="dim value">
      {label}{" "}
      <input
        value={value}
        placeholder={hint}
        autoComplete="off"
        spellCheck={false}
        onChange={({ target }) => set(target.value)}
      />
    </label>
  );
}
