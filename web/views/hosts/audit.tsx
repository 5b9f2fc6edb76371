/** Who did what on this host. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { describeCaller, describeDetails } from "../../../api/describe-audit.ts";
import type { AuditEntry } from "../../../api/schema.ts";
import { thaw } from "../../client.ts";
import { Age } from "../../parts/age.tsx";
import { CommandText } from "../../parts/command.tsx";
import { Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";

const PAGE = 200;
const LONGEST = 300;

function Row({ entry: { time, verb, target, by, details } }: { entry: AuditEntry }) {
  return (
    <tr>
      <td className="right">
        <Age time={time} />
      </td>
      <td className="nowrap" title={by.client ?? undefined}>
        <Text text={describeCaller(by)} />
      </td>
      <td className="nowrap">{verb}</td>
      <td>
        <Text text={target} />
      </td>
      <td className="wide dim">
        <Text text={describeDetails(details).slice(0, LONGEST)} />
      </td>
    </tr>
  );
}

export function AuditLog() {
  const pages = useInfiniteQuery({
    queryKey: ["audit"],
    queryFn: ({ pageParam, signal }) =>
      thaw.host.audit({ limit: PAGE, ...(pageParam === null ? {} : { before: pageParam }), signal }),
    initialPageParam: null as number | null,
    getNextPageParam: ({ next }) => next,
    staleTime: 0,
  });
  if (pages.error !== null && pages.data === undefined)
    return <Failed error={pages.error} retry={() => void pages.refetch()} />;
  if (pages.data === undefined) return <Loading what="who did what" />;
  const entries = pages.data.pages.flatMap((page) => page.entries);
  return (
    <>
      <p className="row-of">
        <CommandText args={["audit"]} />
        <button type="button" onClick={() => void pages.refetch()}>
          Read again
        </button>
      </p>
      {entries.length === 0 ? (
        <p className="dim">Nothing was done yet.</p>
      ) : (
        <table className="stacks">
          <thead>
            <tr>
              <th className="right">Age</th>
              <th>Who</th>
              <th>Did</th>
              <th>To</th>
              <th>Details</th>
            </tr>
          </thead>
          <tbody>
            {entries.map((entry, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: entries have no id, and rows keep no state
              <Row key={index} entry={entry} />
            ))}
          </tbody>
        </table>
      )}
      {pages.error !== null && <Failed error={pages.error} />}
      {pages.hasNextPage && (
        <p>
          <button type="button" disabled={pages.isFetching} onClick={() => void pages.fetchNextPage()}>
            Earlier
          </button>
        </p>
      )}
    </>
  );
}
