/** The form of a new sandbox. */
import { useNavigate } from "@tanstack/react-router";
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { networkModes } from "../../../api/closed-lists.ts";
import { PRESETS } from "../../../api/network-presets.ts";
import type { Progress } from "../../../api/schema.ts";
import { type Trouble, troubleOf } from "../../../client/follow/state.ts";
import { thaw } from "../../client.ts";
import { CommandText, useMayOnlyLook } from "../../parts/command.tsx";
import { Field, Form } from "../../parts/form.tsx";
import { Text } from "../../parts/text.tsx";
import { SignIn } from "../../shell/sign-in.tsx";
import { useHost } from "../../state/page-host.ts";
import { session } from "../../state/session.ts";
import { startTask } from "../../state/tasks.ts";
import { useValue } from "../../state/value.ts";
import { type CreateFields, EMPTY, readFields } from "./create-request.ts";

export function describeProgress({ subject, phase, state, detail }: Progress): string {
  return `${subject}: ${phase} ${state === "output" ? "" : state} ${detail ?? ""}`.trim();
}

/** What a sandbox can be made of here. */
function useSources(): readonly (readonly [group: string, values: readonly (readonly [string, string])[]])[] {
  const templates = useHost((host) => host.templates);
  const snapshots = useHost((host) => host.snapshots);
  return useMemo(() => {
    const tags = [...snapshots.values()].flatMap((each) => (each.incompatible.length > 0 ? [] : each.tags));
    return [
      [
        "Templates",
        templates
          .filter(({ shipped }) => shipped)
          .map(({ name, snapshot }) => [
            `template ${name}`,
            snapshot === null ? `${name} (builds it first)` : name,
          ]),
      ],
      ["Snapshots", tags.sort().map((tag) => [`snapshot ${tag}`, tag])],
    ];
  }, [templates, snapshots]);
}

export function CreateForm({
  template,
  snapshot,
}: {
  template: string | undefined;
  snapshot: string | undefined;
}) {
  const navigate = useNavigate();
  const sources = useSources();
  const mayOnlyLook = useMayOnlyLook();
  const who = useValue(session);
  const dialog = useRef<HTMLDialogElement>(null);
  const [fields, setFields] = useState<CreateFields>(() => ({
    ...EMPTY,
    source: snapshot !== undefined ? `snapshot ${snapshot}` : `template ${template ?? "base"}`,
  }));
  const [said, setSaid] = useState<string>();
  const [trouble, setTrouble] = useState<Trouble>();
  useEffect(() => dialog.current?.showModal(), []);
  const { request, args, mistakes } = readFields(fields);
  const isReady = Object.keys(mistakes).length === 0 && said === undefined && !mayOnlyLook;
  const close = (): void =>
    void navigate({
      to: "/sandboxes",
      search: ({ q, state, from, label }) => ({ q, state, from, label }) as never,
    });
  const create = async (): Promise<void> => {
    if (!isReady) return;
    setTrouble(undefined);
    setSaid("begins …");
    let made: string | undefined;
    const run = async (report: (text: string) => void): Promise<string> => {
      const onProgress = (progress: Progress): void => {
        report(describeProgress(progress));
        setSaid(describeProgress(progress));
      };
      try {
        const { id, name } = await thaw.sandboxes.create(request, { onProgress });
        made = id;
        return `${name} is running`;
      } catch (error) {
        setTrouble(troubleOf(error));
        throw error;
      }
    };
    await startTask({ title: "Create", args, run });
    setSaid(undefined);
    // whoever has closed the form stays where they are
    if (made !== undefined && dialog.current?.open === true)
      void navigate({ to: "/sandboxes/$id", params: { id: made } });
  };
  const text = (name: keyof CreateFields, label: string, hint: string) => (
    <Field label={label} hint={hint} mistake={mistakes[name]}>
      {(ids) => (
        <input
          {...ids}
          value={fields[name]}
          autoComplete="off"
          spellCheck={false}
          onChange={({ target }) => setFields((before) => ({ ...before, [name]: target.value }))}
        />
      )}
    </Field>
  );
  const choose = (name: keyof CreateFields, label: string, hint: string, options: ReactNode) => (
    <Field label={label} hint={hint}>
      {(ids) => (
        <select
          {...ids}
          value={fields[name]}
          onChange={({ target }) => setFields((before) => ({ ...before, [name]: target.value }))}
        >
          {options}
        </select>
      )}
    </Field>
  );
  const isListed = sources.some(([, values]) => values.some(([value]) => value === fields.source));
  return (
    <dialog ref={dialog} className="wide" aria-labelledby="create" onClose={close}>
      {/* what is behind a dialog can't be reached */}
      {who.state === "out" && <SignIn isAgain />}
      <h2 id="create">New sandbox</h2>
      <Form id="create-form" className="form" submit={create}>
        {choose(
          ...(["source", "From", "a template, or a snapshot that was made before"] as const),
          <>
            {!isListed && <option value={fields.source}>{fields.source.split(" ")[1]}</option>}
            {sources.map(([group, values]) => (
              <optgroup key={group} label={group}>
                {values.map(([value, name]) => (
                  <option key={value} value={value}>
                    {name}
                  </option>
                ))}
              </optgroup>
            ))}
          </>,
        )}
        {text("name", "Name", "default: its id")}
        {text("cpus", "CPUs", "default: the template's")}
        {text("memory", "Memory", "such as 2G; default: the template's")}
        {text("ttl", "Remove after", "such as 2h, even if it is in use; default: the host's")}
        {text("idle", "Pause when idle for", "such as 15m; default: the host's")}
        {choose(
          ...(["network", "Network", "what no rule names"] as const),
          <>
            <option value="">default: the template's, else none</option>
            {networkModes.map((mode) => (
              <option key={mode} value={mode}>
                {mode}
              </option>
            ))}
          </>,
        )}
        {text(
          "allow",
          "Allow",
          `such as ${PRESETS.slice(0, 2)
            .map(({ name }) => `@${name}`)
            .join(" ")} *.example.com host:5432`,
        )}
        {text("labels", "Labels", "KEY=VALUE …")}
      </Form>
      <p>
        <CommandText args={args} />
      </p>
      {said !== undefined && (
        <p role="status" className="dim">
          <Text text={said} />
        </p>
      )}
      {trouble !== undefined && (
        <p role="alert" className="bad">
          <Text text={trouble.message} />{" "}
          {trouble.hint !== undefined && <Text className="dim" text={trouble.hint} />}
        </p>
      )}
      <div className="buttons">
        <button type="button" onClick={() => dialog.current?.close()}>
          {said === undefined ? "Cancel" : "Close"}
        </button>
        <button type="submit" form="create-form" className="primary" disabled={!isReady}>
          Create
        </button>
      </div>
    </dialog>
  );
}
