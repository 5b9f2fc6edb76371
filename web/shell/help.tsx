import { GLOBAL_KEYS, type GlobalAction, showKey } from "../../client/keymap.ts";
import { useValue } from "../state/value.ts";
import { overlay } from "./keys.ts";
import { Overlay } from "./overlay.tsx";
import { pageActions } from "./page-actions.ts";

/** Those of the dashboard's keys that a page has too. */
const HERE: readonly GlobalAction[] = [
  "down",
  "up",
  "pageDown",
  "pageUp",
  "first",
  "last",
  "filter",
  "jump",
  "help",
];

function Keys() {
  const actions = useValue(pageActions);
  const global = GLOBAL_KEYS.filter(({ action }) => HERE.includes(action)).map(
    ({ keys, help }) =>
      [
        keys
          .filter((key) => !key.startsWith("ctrl"))
          .map(showKey)
          .join(" "),
        help,
      ] as const,
  );
  const own = actions
    .filter(({ shortcut }) => shortcut !== undefined)
    .map(({ shortcut = "", label }) => [showKey(shortcut), label] as const);
  return (
    <dl className="keys">
      {[
        ...own,
        ...global,
        ["1 … 5", "go to a view"] as const,
        ["⌘K ctrl-K", "go to anything by its name"] as const,
      ].map(([keys, what]) => (
        <div key={keys}>
          <dt>
            <kbd>{keys}</kbd>
          </dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Help() {
  return (
    <>
      <button type="button" onClick={() => overlay.set(() => "help")} aria-label="Keys" aria-keyshortcuts="?">
        ?
      </button>
      <Overlay name="help" label="Keys">
        {() => (
          <>
            <h2>Keys</h2>
            <Keys />
            <form method="dialog">
              <button type="submit">Close</button>
            </form>
          </>
        )}
      </Overlay>
    </>
  );
}
