/** What was started from this page, always at its foot. */
import { visibleText } from "../../api/clean-text.ts";
import { Age } from "../parts/age.tsx";
import { CommandText } from "../parts/command.tsx";
import { type Task, tasks } from "../state/tasks.ts";
import { useValue } from "../state/value.ts";

const MARKS = { running: "…", done: "✓", failed: "✗" } as const;

function Line({ task: { title, state, text, hint, startedAt, args } }: { task: Task }) {
  return (
    <li className={state}>
      <span className="mark">{MARKS[state]}</span>
      <span>
        <strong>{visibleText(title)}</strong> {visibleText(text)}
        {hint !== undefined && <span className="dim"> {visibleText(hint)}</span>}
      </span>
      <CommandText args={args} />
      <Age time={new Date(startedAt).toISOString()} />
    </li>
  );
}

export function Tasks() {
  const all = useValue(tasks);
  const running = all.filter(({ state }) => state === "running").length;
  const [latest] = all;
  return (
    <footer>
      <details className="tasks">
        <summary>
          Tasks{running > 0 && ` (${running} running)`}
          <span aria-live="polite" className={latest?.state}>
            {latest !== undefined &&
              `${MARKS[latest.state]} ${visibleText(latest.title)}: ${visibleText(latest.text || latest.state)}`}
          </span>
        </summary>
        {all.length === 0 ? (
          <p className="dim">Nothing was started from this page yet.</p>
        ) : (
          <ol>
            {all.map((task) => (
              <Line key={task.id} task={task} />
            ))}
          </ol>
        )}
      </details>
    </footer>
  );
}
