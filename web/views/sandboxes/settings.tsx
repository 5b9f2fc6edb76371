/** Timers and labels of a sandbox, shown and changed. */
import { useState } from "react";
import type { Sandbox } from "../../../api/schema.ts";
import { thaw } from "../../client.ts";
import { act, CommandText, useMayOnlyLook } from "../../parts/command.tsx";
import { Field, Form } from "../../parts/form.tsx";
import { Next } from "../../parts/next.tsx";
import { Text } from "../../parts/text.tsx";
import { startTask } from "../../state/tasks.ts";
import { readTimers, TIMERS, type TimerFields, timersOf } from "./timers.ts";

const WORDS = {
  ttl: ["Remove after", "after its creation, even if it is in use"],
  idle: ["Pause when idle for", "no client, no work"],
  stopAfter: ["Freeze when paused for", "its machine is kept on disk"],
  removeAfter: ["Remove when stopped for", "stopped, or failed"],
} as const;

function Timers({ sandbox }: { sandbox: Sandbox }) {
  const [edited, setEdited] = useState<TimerFields>({});
  const now = timersOf(sandbox);
  const { request, args, mistakes } = readTimers(sandbox, edited);
  const isSame = Object.keys(request).length === 0;
  const hasMistakes = Object.keys(mistakes).length > 0;
  const apply = async (): Promise<void> => {
    if (isSame || hasMistakes) return;
    const isDone = await startTask({
      ...{ title: `Timers of ${sandbox.name}`, args },
      run: async () => {
        await thaw.sandboxes.at(sandbox.id).change(request);
        return "are set";
      },
    });
    if (isDone) setEdited({});
  };
  return (
    <Form className="form" submit={apply}>
      {TIMERS.map((timer) => (
        <Field
          key={timer}
          label={WORDS[timer][0]}
          hint={`${WORDS[timer][1]}; empty: never`}
          mistake={mistakes[timer]}
        >
          {(ids) => (
            <input
              {...ids}
              value={edited[timer] ?? now[timer]}
              placeholder="never"
              autoComplete="off"
              spellCheck={false}
              onChange={({ target }) => setEdited((before) => ({ ...before, [timer]: target.value }))}
            />
          )}
        </Field>
      ))}
      <p className="row-of span">
        <button type="submit" className="primary" disabled={isSame || hasMistakes}>
          Set timers
        </button>
        {(!isSame || hasMistakes) && (
          <button type="button" onClick={() => setEdited({})}>
            Undo
          </button>
        )}
        {isSame ? <span className="dim">Nothing is changed.</span> : <CommandText args={args} />}
      </p>
    </Form>
  );
}

function Labels({ sandbox: { id, name, labels } }: { sandbox: Sandbox }) {
  const [text, setText] = useState("");
  const mayOnlyLook = useMayOnlyLook();
  const at = text.indexOf("=");
  const key = (at < 0 ? text : text.slice(0, at)).trim();
  const value = at < 0 ? "" : text.slice(at + 1);
  const args = ["set", name, "--label", `${key}=${value}`];
  const add = async (): Promise<void> => {
    if (key === "") return;
    const isDone = await startTask({
      ...{ title: `Label ${name}`, args },
      run: async () => {
        await thaw.sandboxes.at(id).setLabels({ [key]: value });
        return `has the label ${key}`;
      },
    });
    if (isDone) setText("");
  };
  const remove = (gone: string): Promise<void> =>
    act({
      ...{ label: "Take away", title: `Label ${name}`, args: ["set", name, "--unlabel", gone] },
      run: async () => {
        await thaw.sandboxes.at(id).setLabels({ [gone]: null });
        return `has no label ${gone} any more`;
      },
    });
  return (
    <>
      {Object.keys(labels).length === 0 ? (
        <p className="dim">It has no labels.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th>Label</th>
              <th>Value</th>
              <th>
                <span className="unseen">What can be done</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {Object.entries(labels).map(([label, of]) => (
              <tr key={label}>
                <td>
                  <Text className="mono" text={label} />
                </td>
                <td className="wide">
                  <Text className="mono" text={of} />
                </td>
                <td className="right">
                  {!mayOnlyLook && (
                    <button type="button" onClick={() => void remove(label)}>
                      Take away
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Form className="row-of" submit={add}>
        <input
          aria-label="Label to set"
          className="mono"
          placeholder="KEY=VALUE"
          autoComplete="off"
          spellCheck={false}
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
        <button type="submit" disabled={key === ""}>
          Set label
        </button>
        {key !== "" && <CommandText args={args} />}
      </Form>
    </>
  );
}

export function Settings({ sandbox }: { sandbox: Sandbox }) {
  return (
    <>
      <h2>Timers</h2>
      <p className="dim">
        {sandbox.next === null ? (
          "As things are, nothing happens by itself."
        ) : (
          <>
            Next: <Next next={sandbox.next} />
          </>
        )}
      </p>
      <Timers sandbox={sandbox} />
      <h2>Labels</h2>
      <Labels sandbox={sandbox} />
    </>
  );
}
