import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useRef } from "react";
import { describePlace } from "../../../api/describe-failure.ts";
import { formatCapturedEnd } from "../../../api/ending.ts";
import { thaw } from "../../client.ts";
import { Age } from "../../parts/age.tsx";
import { DetailLayout, type Tab } from "../../parts/detail.tsx";
import { Output } from "../../parts/output.tsx";
import { Empty, Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";
import { useFailureActions } from "./actions.tsx";
import { Case } from "./case.tsx";
import { Compare } from "./compare.tsx";
import { Elsewhere } from "./elsewhere.tsx";
import { Files } from "./files.tsx";
import { Lineage } from "./lineage.tsx";
import { Machine, Network } from "./machine.tsx";
import { commandOf } from "./rows.ts";

/** A failure by its id, as the lists have it; by a prefix, or `latest`, as the daemon finds it. */
function useFailure(id: string) {
  const listed = useHost(({ captures }) => captures.get(id));
  const isThere = useHost(({ info }) => info !== undefined);
  const seen = useRef<string>(undefined);
  if (listed !== undefined) seen.current = id;
  const isRemoved = listed === undefined && seen.current === id;
  const asked = useQuery({
    queryKey: ["capture", id],
    queryFn: ({ signal }) => thaw.captures.get(id, { signal }),
    enabled: isThere && listed === undefined && !isRemoved,
    gcTime: 0,
  });
  return { capture: listed ?? asked.data, error: listed === undefined ? asked.error : null, isRemoved };
}

export function Detail() {
  const route = getRouteApi("/failures/$id");
  const { id } = route.useParams();
  const search = route.useSearch();
  const { capture, error, isRemoved } = useFailure(id);
  const actions = useFailureActions(capture);
  if (isRemoved) return <Empty>Failure {id} was removed.</Empty>;
  if (error !== null) return <Failed title={`Failure ${id}`} error={error} />;
  if (capture === undefined) return <Loading what={`failure ${id}`} />;
  const lines = capture.exec?.lastLines ?? capture.console;
  const denied = capture.egress.filter(({ allowed }) => !allowed).length;
  const tabs: readonly Tab[] = [
    { id: "case", title: "Case", content: () => <Case capture={capture} /> },
    { id: "output", title: "Output", content: () => <Output label="Output" lines={lines} /> },
    { id: "machine", title: "Machine", content: () => <Machine capture={capture} /> },
    {
      id: "network",
      title: denied === 0 ? "Network" : `Network (${denied} denied)`,
      content: () => <Network capture={capture} />,
    },
    {
      id: "files",
      title: "Files",
      content: () => <Files id={capture.id} path={search.path ?? "/"} />,
    },
    { id: "lineage", title: "Lineage", content: () => <Lineage capture={capture} /> },
    { id: "compare", title: "Compare", content: () => <Compare capture={capture} other={search.with} /> },
    { id: "elsewhere", title: "Elsewhere", content: () => <Elsewhere capture={capture} /> },
  ];
  return (
    <DetailLayout
      back={{ to: "/failures", title: "Failures" }}
      title={
        <>
          <Text text={commandOf(capture, 120)} className="mono" /> <span className="dim">{capture.id}</span>
        </>
      }
      subtitle={
        <>
          <Text
            className={capture.exec?.exit?.code === 0 ? "good" : "bad"}
            text={formatCapturedEnd(capture) ?? capture.trigger}
          />{" "}
          · <Age time={capture.createdAt} /> ago · <Text text={describePlace(capture)} />
        </>
      }
      actions={actions}
      tabs={tabs}
      tab={search.tab}
    />
  );
}
