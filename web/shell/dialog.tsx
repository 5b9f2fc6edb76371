/** One question at a time, in a native dialog. */
import { useEffect, useRef } from "react";
import { visibleText } from "../../api/clean-text.ts";
import { useValue, Value } from "../state/value.ts";

export interface Question {
  title: string;
  /** What is lost, or what happens. */
  lines: readonly string[];
  /** What the button says that does it. */
  verb: string;
}

interface Asked extends Question {
  answer: (isYes: boolean) => void;
}

const asked = new Value<Asked | undefined>(undefined);

/** @returns whether the answer was yes */
export function ask(question: Question): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  asked.value?.answer(false);
  asked.set(() => ({ ...question, answer: resolve }));
  return promise;
}

export function Dialog() {
  const question = useValue(asked);
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (question !== undefined) dialog.current?.showModal();
  }, [question]);
  if (question === undefined) return null;
  const end = (isYes: boolean): void => {
    asked.set(() => undefined);
    question.answer(isYes);
  };
  return (
    <dialog ref={dialog} aria-labelledby="question" onClose={() => end(false)}>
      <h2 id="question">{visibleText(question.title)}</h2>
      {question.lines.map((line) => (
        <p key={line}>{visibleText(line)}</p>
      ))}
      <div className="buttons">
        {/* the harmless answer has the focus */}
        <button type="button" onClick={() => end(false)}>
          Cancel
        </button>
        <button type="button" className="danger" onClick={() => end(true)}>
          {question.verb}
        </button>
      </div>
    </dialog>
  );
}
