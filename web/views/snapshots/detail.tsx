import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo, useRef } from "react";
import { formatSize } from "../../../api/size.ts";
import { ownBytes, sharedBytes } from "../../../client/follow/shares.ts";
import { thaw } from "../../client.ts";
import { Age } from "../../parts/age.tsx";
import { CommandText } from "../../parts/command.tsx";
import { DetailLayout, Facts, type Tab } from "../../parts/detail.tsx";
import { PackageSummary, Packages } from "../../parts/packages.tsx";
import { Push } from "../../parts/push.tsx";
import { Empty, Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";
import { useSnapshotActions } from "./actions.tsx";
import { makeRows, type SnapshotRow } from "./rows.ts";
import "../../parts/views.css";

function About({ row: { snapshot, holders, users } }: { row: SnapshotRow }) {
  const { resources, needs, defaults, incompatible, parts } = snapshot;
  const own = ownBytes([snapshot], holders);
  const shared = sharedBytes(snapshot, holders);
  return (
    <>
      {incompatible.length > 0 && (
        <p className="bad">
          It can't be thawed here: <Text text={incompatible.join("; ")} />
        </p>
      )}
      <Facts
        facts={[
          ["Tags", <Text key="tags" text={snapshot.tags.join(", ") || "none"} />],
          [
            "Template",
            snapshot.template === null ? (
              "none: frozen of a sandbox"
            ) : (
              <Link key="template" to="/templates/$name" params={{ name: snapshot.template }}>
                <Text text={snapshot.template} />
              </Link>
            ),
          ],
          [
            "Created",
            <span key="age">
              <Age time={snapshot.createdAt} /> ago
            </span>,
          ],
          [
            "Size",
            shared === 0
              ? formatSize(own)
              : `${formatSize(own)} of its own, ${formatSize(shared)} shared with other snapshots`,
          ],
          ["Used by", users.length === 1 ? "1 sandbox" : `${users.length} sandboxes`],
          [
            "Machine",
            `${resources.cpus} cpu, ${formatSize(resources.memoryMib * 2 ** 20)} memory, ${formatSize(resources.diskMib * 2 ** 20)} disk`,
          ],
          [
            "Needs",
            <Text
              key="needs"
              text={`${needs.runner} ${needs.build}, ${needs.accelerator}, ${needs.cpu}, ${needs.machine}`}
            />,
          ],
          ["Kernel", <Text key="kernel" text={needs.kernel} />],
          ["Commands", <Text key="commands" text={`as ${defaults.user} in ${defaults.workdir}`} />],
          ["Packages", <PackageSummary key="packages" packages={snapshot.packages} />],
          ["Id", <code key="id">{snapshot.id}</code>],
        ]}
      />
      <h2>Parts</h2>
      <table>
        <thead>
          <tr>
            <th>Part</th>
            <th className="right">Size</th>
            <th className="right">On disk</th>
            <th className="right">Snapshots with it</th>
            <th>SHA-256</th>
          </tr>
        </thead>
        <tbody>
          {parts.map((part) => (
            <tr key={part.name}>
              <td>
                <Text text={part.name} />
              </td>
              <td className="right">{formatSize(part.sizeBytes)}</td>
              <td className="right">{formatSize(part.storedBytes)}</td>
              <td className="right">{holders.get(part.sha256) ?? 1}</td>
              <td className="wide">
                <code title={part.sha256}>{part.sha256.slice(0, 12)}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

const SHOWN_FAILURES = 100;

function Lineage({ row: { snapshot, name, users } }: { row: SnapshotRow }) {
  const captures = useHost((host) => host.captures);
  const failures = useMemo(
    () => [...captures.values()].filter(({ base }) => base.snapshot === snapshot.id),
    [captures, snapshot.id],
  );
  return (
    <ul className="tree">
      <li>
        {snapshot.template === null ? (
          "frozen of a sandbox"
        ) : (
          <>
            template{" "}
            <Link to="/templates/$name" params={{ name: snapshot.template }}>
              <Text text={snapshot.template} />
            </Link>
          </>
        )}
        <ul className="tree">
          <li>
            <strong aria-current="true">
              <Text text={name} />
            </strong>
            {(users.length > 0 || failures.length > 0) && (
              <ul className="tree">
                {users.map(({ id, name: user, from }) => (
                  <li key={id}>
                    <Link to="/sandboxes/$id" params={{ id }}>
                      <Text text={user} />
                    </Link>{" "}
                    <Text
                      className="dim"
                      text={from.startsWith("fork of ") ? `sandbox, ${from}` : "sandbox"}
                    />
                  </li>
                ))}
                {failures.slice(0, SHOWN_FAILURES).map(({ id }) => (
                  <li key={id}>
                    <Link to="/failures/$id" params={{ id }}>
                      {id}
                    </Link>{" "}
                    <span className="dim">failure</span>
                  </li>
                ))}
                {failures.length > SHOWN_FAILURES && (
                  <li className="dim">and {failures.length - SHOWN_FAILURES} failures more</li>
                )}
              </ul>
            )}
          </li>
        </ul>
      </li>
    </ul>
  );
}

function Elsewhere({ row: { name, snapshot } }: { row: SnapshotRow }) {
  return (
    <>
      <h2>To a store</h2>
      <Push kind="snapshot" id={snapshot.id} name={name} />
      <h2>On another host</h2>
      <dl className="steps">
        <div>
          <dt>Once it is in a store</dt>
          <dd>
            <CommandText args={["snapshot", "pull", "oci:REGISTRY/NAME"]} />
          </dd>
        </div>
      </dl>
    </>
  );
}

/** A snapshot by its id, as the list has it; by a tag or a prefix of its id, as the daemon finds it. */
function useSnapshot(id: string) {
  const isThere = useHost(({ info }) => info !== undefined);
  const snapshots = useHost((host) => host.snapshots);
  const sandboxes = useHost((host) => host.sandboxes);
  const isListed = snapshots.has(id);
  /** What was shown by this name. */
  const seen = useRef<string>(undefined);
  const asked = useQuery({
    queryKey: ["snapshot", id],
    queryFn: async ({ signal }) => (await thaw.snapshots.get(id, { signal })).id,
    enabled: isThere && !isListed && seen.current !== id,
    gcTime: 0,
  });
  const found = isListed ? id : asked.data;
  const row = useMemo(
    () => makeRows(snapshots, sandboxes.values()).find(({ snapshot }) => snapshot.id === found),
    [snapshots, sandboxes, found],
  );
  if (row !== undefined) seen.current = id;
  return { row, wasRemoved: row === undefined && seen.current === id, error: isListed ? null : asked.error };
}

export function Detail() {
  const route = getRouteApi("/snapshots/$id");
  const { id } = route.useParams();
  const { tab } = route.useSearch();
  const { row, wasRemoved, error } = useSnapshot(id);
  const actions = useSnapshotActions(row);
  if (wasRemoved)
    return (
      <Empty title={`Snapshot ${id}`} command={["snapshot", "ls"]}>
        This snapshot was removed.
      </Empty>
    );
  if (error !== null) return <Failed title={`Snapshot ${id}`} error={error} />;
  if (row === undefined) return <Loading what={`snapshot ${id}`} />;
  const { id: found, packages } = row.snapshot;
  const outdated = packages?.outdated ?? 0;
  const tabs: readonly Tab[] = [
    { id: "about", title: "About", content: () => <About row={row} /> },
    { id: "lineage", title: "Lineage", content: () => <Lineage row={row} /> },
    {
      id: "packages",
      title: outdated === 0 ? "Packages" : `Packages (${outdated} outdated)`,
      content: () => <Packages id={found} summary={packages} />,
    },
    { id: "elsewhere", title: "Elsewhere", content: () => <Elsewhere row={row} /> },
  ];
  const { snapshot } = row;
  return (
    <DetailLayout
      back={{ to: "/snapshots", title: "Snapshots" }}
      title={<Text text={row.name} />}
      subtitle={
        <>
          {snapshot.template === null ? (
            "frozen of a sandbox"
          ) : (
            <Text text={`template ${snapshot.template}`} />
          )}{" "}
          · {formatSize(snapshot.storedBytes)} · <Age time={snapshot.createdAt} />
        </>
      }
      actions={actions}
      tabs={tabs}
      tab={tab}
    />
  );
}
