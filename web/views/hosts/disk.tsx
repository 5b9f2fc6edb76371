/** What takes the host's disk. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { DiskKindUse } from "../../../api/disk.ts";
import { formatSize } from "../../../api/size.ts";
import { thaw } from "../../client.ts";
import { CommandText } from "../../parts/command.tsx";
import { Meter } from "../../parts/graph.tsx";
import { Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";

const LABELS: Partial<Record<DiskKindUse["kind"], string>> = {
  captures: "failures",
  steps: "steps of templates",
  rootfs: "root file systems",
  compressed: "compressed parts",
  versions: "installed versions",
};
const LISTED = 50;

const prunable = (bytes: number | null): string => (bytes === null ? "not known" : formatSize(bytes));

function EntryName({ kind, id, name }: { kind: DiskKindUse["kind"]; id: string; name: string | null }) {
  const text = <Text text={name === null || name === "" ? id : name} />;
  if (kind === "snapshots")
    return (
      <Link to="/snapshots/$id" params={{ id }}>
        {text}
      </Link>
    );
  if (kind === "captures")
    return (
      <Link to="/failures/$id" params={{ id }}>
        {text}
      </Link>
    );
  if (kind === "sandboxes")
    return (
      <Link to="/sandboxes/$id" params={{ id }}>
        {text}
      </Link>
    );
  return text;
}

export function Disk() {
  const use = useQuery({
    queryKey: ["disk"],
    queryFn: ({ signal }) => thaw.host.disk({ signal }),
    staleTime: 0,
  });
  if (use.error !== null) return <Failed error={use.error} retry={() => void use.refetch()} />;
  if (use.data === undefined) return <Loading what="the sizes of all files" />;
  const { disk, bytes, kinds, notCounted, home, prunableBytes } = use.data;
  const there = kinds.filter(({ count, bytes: size }) => count > 0 || size > 0);
  const entries = there
    .flatMap(({ kind, entries: all }) => all.map((entry) => ({ kind, ...entry })))
    .sort((a, b) => b.bytes - a.bytes);
  return (
    <>
      <section aria-label="Disk" className="meters">
        <Meter
          {...{ label: "Disk in use", most: disk.totalBytes, value: disk.totalBytes - disk.freeBytes }}
          text={`${formatSize(disk.freeBytes)} of ${formatSize(disk.totalBytes)} are free`}
        />
        <Meter {...{ label: "By thaw", most: disk.totalBytes, value: bytes }} text={formatSize(bytes)} />
      </section>
      <p className="dim">
        {formatSize(disk.reserveBytes)} are kept free on the disk of <Text className="mono" text={home} />.
      </p>
      <p className="row-of">
        <CommandText args={["df", "--verbose"]} />
        <button type="button" onClick={() => void use.refetch()} disabled={use.isFetching}>
          Measure again
        </button>
      </p>
      <table>
        <thead>
          <tr>
            <th>Kind</th>
            <th className="right">Count</th>
            <th className="right">Size</th>
            <th className="right">A prune frees</th>
          </tr>
        </thead>
        <tbody>
          {there.map((each) => (
            <tr key={each.kind}>
              <td className="wide">{LABELS[each.kind] ?? each.kind}</td>
              <td className="right">{each.count}</td>
              <td className="right">{formatSize(each.bytes)}</td>
              <td className="right">{prunable(each.prunableBytes)}</td>
            </tr>
          ))}
          <tr>
            <th scope="row">all</th>
            <td />
            <td className="right strong">{formatSize(bytes)}</td>
            <td className="right strong">{prunable(prunableBytes)}</td>
          </tr>
        </tbody>
      </table>
      {entries.length > 0 && (
        <>
          <h2>The largest</h2>
          <table>
            <thead>
              <tr>
                <th>Kind</th>
                <th>Name</th>
                <th className="right">Size</th>
                <th className="right">Its removal frees</th>
              </tr>
            </thead>
            <tbody>
              {entries.slice(0, LISTED).map(({ kind, id, name, bytes: size, freesBytes }) => (
                <tr key={`${kind} ${id}`}>
                  <td className="nowrap">{LABELS[kind] ?? kind}</td>
                  <td className="wide">
                    <EntryName kind={kind} id={id} name={name} />
                  </td>
                  <td className="right">{formatSize(size)}</td>
                  <td className="right">{formatSize(freesBytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
      {notCounted.length > 0 && (
        <>
          <h2>Not counted</h2>
          <ul className="lines">
            {notCounted.map(({ path, reason }) => (
              <li key={path}>
                <Text className="mono" text={path} /> <Text className="warn" text={reason} />
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}
