/** What can be done with a snapshot. */
import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { TAG_PATTERN } from "../../../api/patterns.ts";
import { formatSize } from "../../../api/size.ts";
import { ownBytes } from "../../../client/follow/shares.ts";
import { thaw } from "../../client.ts";
import { type Action, Value } from "../../parts/command.tsx";
import { pageHost } from "../../state/page-host.ts";
import { removed } from "../../state/removed.ts";
import type { SnapshotRow } from "./rows.ts";

/** No event tells that a tag was taken away. */
async function refresh(id: string): Promise<void> {
  const snapshot = await thaw.snapshots.get(id);
  pageHost.set((host) => ({ ...host, snapshots: new Map(host.snapshots).set(id, snapshot) }));
}

export function useSnapshotActions(row: SnapshotRow | undefined): readonly Action[] {
  const navigate = useNavigate();
  const [tag, setTag] = useState("");
  return useMemo((): readonly Action[] => {
    if (row === undefined) return [];
    const { snapshot, name, users, holders } = row;
    const { id, tags, incompatible } = snapshot;
    const frees = ownBytes([snapshot], holders);
    return [
      {
        ...{ label: "New sandbox", shortcut: "return", title: `Create from ${name}`, isPrimary: true },
        refusal: incompatible.length === 0 ? undefined : "It can't be thawed here.",
        args: ["create", "--snapshot", name],
        run: async () => "",
        open: () => void navigate({ to: "/sandboxes", search: { new: "1", snapshot: name } }),
      },
      {
        ...{ label: "Tag", shortcut: "t", title: `Tag ${name}` },
        refusal: TAG_PATTERN.test(tag) ? undefined : "Type a tag: NAME or NAME:VERSION.",
        args: ["snapshot", "tag", id, tag],
        run: async () => {
          await thaw.snapshots.tag(id, tag);
          await refresh(id);
          return `is ${tag} too`;
        },
        extra: <Value label="Tag" value={tag} set={setTag} hint="shop:main" />,
        done: () => setTag(""),
      },
      // the last tag goes with the snapshot
      ...(tags.length < 2
        ? []
        : tags.map(
            (each): Action => ({
              ...{ label: `Untag ${each}`, title: `Untag ${each}` },
              args: ["snapshot", "rm", each],
              question: {
                title: `Take the tag ${each} away?`,
                lines: [`The snapshot stays, as ${tags.filter((other) => other !== each).join(", ")}.`],
                verb: "Untag",
              },
              run: async () => {
                const said = await removed(thaw.snapshots.remove(each), "no longer names it");
                await refresh(id);
                return said;
              },
            }),
          )),
      {
        ...{ label: "Verify", shortcut: "v", title: `Verify ${name}` },
        args: ["snapshot", "verify", name],
        run: async () => {
          const { ok, parts } = await thaw.snapshots.verify(id);
          const bad = parts.filter((part) => !part.ok).map((part) => part.name);
          if (!ok) throw new Error(`damaged: ${bad.join(", ")}`);
          return "is intact";
        },
      },
      {
        ...{ label: "Remove", shortcut: "d", title: `Remove ${name}`, isDangerous: true },
        refusal:
          users.length === 0
            ? undefined
            : `Used by ${users.length === 1 ? "1 sandbox" : `${users.length} sandboxes`}; see Lineage.`,
        args: ["snapshot", "rm", id],
        question: {
          title: `Remove ${name}?`,
          lines: [
            `This frees up to ${formatSize(frees)}. What it shares with other snapshots stays.`,
            ...(tags.length > 1 ? [`All its tags go: ${tags.join(", ")}.`] : []),
            "A snapshot that a failure needs is not removed.",
          ],
          verb: "Remove",
        },
        run: () => removed(thaw.snapshots.remove(id)),
        done: () => void navigate({ to: "/snapshots" }),
      },
    ];
  }, [row, tag, navigate]);
}
