/** Commands of a sandbox, and the output of one. */
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { formatElapsed } from "../../../api/duration.ts";
import { formatCommand, formatExecState } from "../../../api/ending.ts";
import type { Exec, Sandbox } from "../../../api/schema.ts";
import { chooseExec } from "../../../client/follow/choose-exec.ts";
import { thaw } from "../../client.ts";
import { Age } from "../../parts/age.tsx";
import { act, CommandText } from "../../parts/command.tsx";
import { Form } from "../../parts/form.tsx";
import { Output } from "../../parts/output.tsx";
import { Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { startTask } from "../../state/tasks.ts";
import { type Place, useLog } from "./log.ts";

const SHOWN = 200;
const LONGEST = 300;

const isOver = ({ state }: Exec): boolean => state === "exited" || state === "failed";

function toneOf(exec: Exec): string {
  if (!isOver(exec)) return "good";
  return exec.exit?.code === 0 ? "dim" : "bad";
}

function downloadUrl({ sandbox, exec }: { sandbox: string; exec: string }): string {
  return `/v1/sandboxes/${encodeURIComponent(sandbox)}/execs/${encodeURIComponent(exec)}/logs?as=text`;
}

function LogOf({ sandbox, exec }: { sandbox: Sandbox; exec: Exec }) {
  const [place, setPlace] = useState<Place>("end");
  const log = useLog({ sandbox: sandbox.id, exec: exec.id }, place);
  const { lines, end, remark, trouble, from, to } = log;
  const isEarliest = from === undefined || from.out + from.err === 0;
  const command = formatCommand(exec.argv, LONGEST);
  const kill = (): void =>
    void act({
      title: `Kill ${formatCommand(exec.argv, 60)}`,
      label: "Kill",
      args: ["kill", sandbox.name, exec.id],
      question: {
        title: "Kill this command?",
        lines: [command, "It and all its processes end at once."],
        verb: "Kill",
      },
      run: async () => {
        await thaw.sandboxes.at(sandbox.id).execAt(exec.id).kill();
        return "was killed";
      },
    });
  return (
    <section aria-label="Output of the command">
      <p className="row-of">
        <Text className="mono strong" text={command} />
        <span className={toneOf(exec)}>{formatExecState(exec)}</span>
        {!isOver(exec) && (
          <button type="button" className="danger" onClick={kill}>
            Kill
          </button>
        )}
        <CommandText args={["logs", "-f", sandbox.name, exec.id]} />
      </p>
      <p className="row-of">
        <button
          type="button"
          disabled={isEarliest}
          onClick={() => from !== undefined && setPlace({ before: from })}
        >
          Earlier
        </button>
        <button
          type="button"
          disabled={place === "end"}
          onClick={() => to !== undefined && setPlace({ after: to })}
        >
          Later
        </button>
        <button type="button" disabled={place === "end"} onClick={() => setPlace("end")}>
          To the end
        </button>
        <a className="button" href={downloadUrl({ sandbox: sandbox.id, exec: exec.id })} download>
          Download all that is kept
        </a>
      </p>
      {remark !== undefined && <p className="warn">{remark}</p>}
      {lines.length > 0 || end !== undefined ? (
        <Output label="Output" lines={lines} isGrowing={log.isWhole !== true} />
      ) : place === "end" ? (
        <p className="dim">It has written nothing yet.</p>
      ) : log.isWhole === true ? (
        <p className="dim">{"before" in place ? "Nothing before that is kept." : "That is all so far."}</p>
      ) : (
        <Loading what="its output" />
      )}
      {trouble !== undefined && (
        <p className="bad" role="alert">
          <Text text={trouble.message} />
        </p>
      )}
    </section>
  );
}

function Run({ sandbox: { id, name } }: { sandbox: Sandbox }) {
  const navigate = useNavigate();
  const [line, setLine] = useState("");
  const argv = ["sh", "-c", line];
  const run = async (): Promise<void> => {
    if (line.trim() === "") return;
    await startTask({
      title: `Run in ${name}`,
      args: ["exec", "-d", name, "--", ...argv],
      run: async () => {
        const exec = await thaw.sandboxes.at(id).startDetached({ argv });
        void navigate({
          to: ".",
          search: ((before: object) => ({ ...before, exec: exec.id })) as never,
          replace: true,
        });
        setLine("");
        return `runs as ${exec.id}`;
      },
    });
  };
  return (
    <Form className="field run" submit={run}>
      <input
        aria-label="Command"
        className="mono"
        placeholder="a command, as in a shell"
        autoComplete="off"
        spellCheck={false}
        value={line}
        onChange={({ target }) => setLine(target.value)}
      />
      <button type="submit" disabled={line.trim() === ""}>
        Run
      </button>
    </Form>
  );
}

export function Commands({ sandbox, exec: wanted }: { sandbox: Sandbox; exec: string | undefined }) {
  const { execs, state, frozen } = sandbox;
  const shown = execs.find(({ id }) => id === wanted) ?? chooseExec(execs);
  const sorted = execs.toSorted((a, b) => b.startedAt.localeCompare(a.startedAt)).slice(0, SHOWN);
  const runs = state === "running" || state === "paused" || frozen;
  return (
    <>
      {runs && <Run sandbox={sandbox} />}
      {shown === undefined ? (
        <p className="dim">No command has run in it yet.</p>
      ) : (
        <>
          <LogOf key={shown.id} sandbox={sandbox} exec={shown} />
          <h2>All commands</h2>
          <table>
            <thead>
              <tr>
                <th>Command</th>
                <th>State</th>
                <th className="right">Took</th>
                <th className="right">Age</th>
              </tr>
            </thead>
            <tbody>
              {sorted.map((exec) => (
                <tr key={exec.id} aria-current={exec.id === shown.id ? "true" : undefined}>
                  <td className="wide">
                    <Link to="." search={(before) => ({ ...before, exec: exec.id })} replace>
                      <Text className="mono" text={formatCommand(exec.argv, LONGEST)} />
                    </Link>
                  </td>
                  <td className={toneOf(exec)}>{formatExecState(exec)}</td>
                  <td className="right">{exec.exit === null ? "–" : formatElapsed(exec.exit.durationMs)}</td>
                  <td className="right">
                    <Age time={exec.startedAt} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </>
  );
}
