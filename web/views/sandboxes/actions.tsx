/** What can be done with a sandbox. */
import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { parseDuration } from "../../../api/duration.ts";
import { SANDBOX_NAME_PHRASE, sandboxNamePattern, TAG_PATTERN } from "../../../api/patterns.ts";
import type { Sandbox } from "../../../api/schema.ts";
import { thaw } from "../../client.ts";
import { type Action, Value } from "../../parts/command.tsx";
import { removed } from "../../state/removed.ts";
import { stateOf } from "./rows.ts";

const MAX_COPIES = 100;

function isDuration(text: string): boolean {
  try {
    return parseDuration(text) > 0;
  } catch {
    return false;
  }
}

export function useSandboxActions(sandbox: Sandbox | undefined): readonly Action[] {
  const navigate = useNavigate();
  const [copies, setCopies] = useState("1");
  const [tag, setTag] = useState("");
  const [name, setName] = useState("");
  const [longer, setLonger] = useState("30m");
  return useMemo((): readonly Action[] => {
    if (sandbox === undefined) return [];
    const { state, frozen, expiresAt, id, execs } = sandbox;
    const called = sandbox.name;
    const at = thaw.sandboxes.at(id);
    const isAsleep = state === "paused" || frozen;
    const refusal = state === "running" || isAsleep ? undefined : `It is ${stateOf(sandbox).text}.`;
    const running = execs.filter((exec) => exec.state === "running" || exec.state === "starting").length;
    const count = Math.min(MAX_COPIES, Math.max(1, Number.parseInt(copies, 10) || 1));
    return [
      isAsleep
        ? {
            ...{ label: "Resume", shortcut: "p", title: `Resume ${called}`, isPrimary: true, refusal },
            args: ["resume", called],
            run: async () => `is ${(await at.resume()).state}`,
          }
        : {
            ...{ label: "Pause", shortcut: "p", title: `Pause ${called}`, refusal },
            args: ["pause", called],
            run: async () => `is ${(await at.pause()).state}; its memory stays allocated`,
          },
      frozen || state === "stopped"
        ? {
            ...{ label: "Start", title: `Start ${called}` },
            refusal: frozen ? undefined : "Its machine has ended and was not kept.",
            args: ["start", called],
            run: async () => `is ${(await at.resume()).state}`,
          }
        : {
            ...{ label: "Stop", title: `Stop ${called}`, refusal },
            args: ["stop", called],
            run: async () => {
              await at.stop();
              return "is on disk; a request lets it go on where it was";
            },
          },
      {
        ...{ label: "Fork", shortcut: "f", title: `Fork ${called}`, refusal },
        args: ["fork", called, ...(count === 1 ? [] : ["-n", String(count)])],
        run: async (report) => {
          const { sandboxes } = await at.fork({ count }, { onProgress: ({ phase }) => report(phase) });
          return `copied as ${sandboxes.map((copy) => copy.name).join(", ")}`;
        },
        extra: <Value label="Copies" value={copies} set={setCopies} />,
      },
      {
        ...{ label: "Freeze", shortcut: "z", title: `Freeze ${called}` },
        refusal: refusal ?? (TAG_PATTERN.test(tag) ? undefined : "Type a tag: NAME or NAME:VERSION."),
        args: ["freeze", called, tag],
        run: async (report) => {
          const { snapshot } = await at.freeze(tag, { onProgress: ({ phase }) => report(phase) });
          return `is snapshot ${snapshot.tags[0] ?? snapshot.id}; the sandbox goes on`;
        },
        extra: <Value label="Tag" value={tag} set={setTag} hint="shop:main" />,
      },
      {
        ...{ label: "Capture", shortcut: "C", title: `Capture ${called}`, refusal },
        args: ["capture", "create", called],
        run: async () => {
          const capture = await at.capture();
          void navigate({ to: "/failures/$id", params: { id: capture.id } });
          return `was captured as ${capture.id}`;
        },
      },
      {
        ...{ label: "Extend", shortcut: "e", title: `Extend ${called}` },
        refusal:
          expiresAt === null
            ? "It has no end."
            : isDuration(longer)
              ? undefined
              : "Type a duration, such as 30m or 1h30m.",
        args: ["extend", called, longer],
        run: async () => {
          const { expiresAt: end } = await at.extend(parseDuration(longer));
          return end === null ? "has no end" : `ends ${new Date(end).toLocaleString()}`;
        },
        extra: <Value label="By" value={longer} set={setLonger} />,
      },
      {
        ...{ label: "Rename", title: `Rename ${called}` },
        refusal: sandboxNamePattern.test(name)
          ? undefined
          : name === ""
            ? "Type its new name."
            : `A name has ${SANDBOX_NAME_PHRASE}.`,
        args: ["rename", called, name],
        run: async () => {
          await at.rename(name);
          return `is ${name} from now on`;
        },
        extra: <Value label="Name" value={name} set={setName} hint={called} />,
        done: () => setName(""),
      },
      {
        ...{ label: "Remove", shortcut: "d", title: `Remove ${called}`, isDangerous: true },
        args: ["rm", called],
        question: {
          title: `Remove ${called}?`,
          lines: [
            "Its memory and its disk are lost. Captures and snapshots of it are kept.",
            ...(running === 0
              ? []
              : [running === 1 ? "1 command runs in it." : `${running} commands run in it.`]),
          ],
          verb: "Remove",
        },
        run: () => removed(at.remove()),
        done: () => void navigate({ to: "/sandboxes" }),
      },
    ];
  }, [sandbox, copies, tag, name, longer, navigate]);
}
