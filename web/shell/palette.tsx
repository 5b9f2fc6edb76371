/** ⌘K: goes to anything by its name, or starts what can be done here. */
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useState } from "react";
import { visibleText } from "../../api/clean-text.ts";
import { formatCommand } from "../../api/ending.ts";
import { act } from "../parts/command.tsx";
import { pageHost } from "../state/page-host.ts";
import { matches } from "../state/search.ts";
import { overlay } from "./keys.ts";
import { Overlay } from "./overlay.tsx";
import { pageActions } from "./page-actions.ts";
import { VIEWS } from "./views.ts";

interface Choice {
  key: string;
  kind: string;
  text: string;
  choose: () => void;
}

const SHOWN = 12;

function useChoices(): () => Iterable<Choice> {
  const navigate = useNavigate();
  return function* () {
    for (const action of pageActions.value)
      if (action.refusal === undefined)
        yield { key: `do ${action.label}`, kind: "do", text: action.label, choose: () => void act(action) };
    for (const { to, title } of VIEWS)
      yield { key: to, kind: "view", text: title, choose: () => void navigate({ to }) };
    const { sandboxes, captures, snapshots, templates } = pageHost.value;
    for (const { id, name } of sandboxes.values())
      yield {
        ...{ key: id, kind: "sandbox", text: name },
        choose: () => void navigate({ to: "/sandboxes/$id", params: { id } }),
      };
    for (const { id, exec, ci } of captures.values())
      yield {
        ...{ key: id, kind: "failure" },
        text: `${id} ${exec === null ? "" : formatCommand(exec.argv, 80)} ${ci?.repository ?? ""}`,
        choose: () => void navigate({ to: "/failures/$id", params: { id } }),
      };
    for (const { id, tags } of snapshots.values())
      yield {
        ...{ key: id, kind: "snapshot", text: `${tags.join(" ")} ${id}` },
        choose: () => void navigate({ to: "/snapshots/$id", params: { id } }),
      };
    for (const { name } of templates)
      yield {
        ...{ key: `template ${name}`, kind: "template", text: name },
        choose: () => void navigate({ to: "/templates/$name", params: { name } }),
      };
  };
}

function Chooser() {
  const choices = useChoices();
  const [wanted, setWanted] = useState("");
  const [at, setAt] = useState(0);
  const found = Iterator.from(choices())
    .filter(({ kind, text }) => matches(`${kind} ${text}`, wanted))
    .take(SHOWN)
    .toArray();
  const choose = (choice: Choice | undefined): void => {
    if (choice === undefined) return;
    overlay.set(() => undefined);
    choice.choose();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0) setAt(Math.max(0, Math.min(found.length - 1, at + step)));
    else if (event.key === "Enter") choose(found[at]);
    else return;
    event.preventDefault();
  };
  return (
    <>
      <input
        // biome-ignore lint/a11y/noAutofocus: a dialog's first field has the focus
        autoFocus
        role="combobox"
        aria-expanded="true"
        aria-controls="choices"
        aria-activedescendant={found[at] === undefined ? undefined : `choice-${at}`}
        aria-label="Go to, or do"
        placeholder="Go to, or do …"
        value={wanted}
        onKeyDown={onKeyDown}
        onChange={(event) => {
          setWanted(event.target.value);
          setAt(0);
        }}
      />
      <div id="choices" role="listbox" aria-label="Matches" tabIndex={-1}>
        {found.map((choice, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the keys
          <div
            key={choice.key}
            id={`choice-${index}`}
            role="option"
            aria-selected={index === at}
            tabIndex={-1}
            onClick={() => choose(choice)}
          >
            <span className="dim">{choice.kind}</span> <bdi>{visibleText(choice.text)}</bdi>
          </div>
        ))}
      </div>
      {found.length === 0 && <p className="dim">Nothing has this name.</p>}
    </>
  );
}

export function Palette() {
  return (
    <>
      <button type="button" onClick={() => overlay.set(() => "palette")} aria-keyshortcuts="Meta+K Control+K">
        Go to <kbd aria-hidden="true">⌘K</kbd>
      </button>
      <Overlay name="palette" label="Go to, or do">
        {() => <Chooser />}
      </Overlay>
    </>
  );
}
