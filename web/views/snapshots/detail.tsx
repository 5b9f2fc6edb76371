import { getRouteApi } from "@tanstack/react-router";
import type { Action } from "../../parts/command.tsx";
import { DetailLayout, Facts } from "../../parts/detail.tsx";
import { Empty } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";

const ACTIONS: readonly Action[] = [];

export function Detail() {
  const route = getRouteApi("/snapshots/$id");
  const { id } = route.useParams();
  const { tab } = route.useSearch();
  const found = useHost(({ snapshots }) => snapshots.get(id));
  if (found === undefined) return <Empty>This host has no snapshot {id}.</Empty>;
  const facts = [
    ["Id", found.id],
    ["Tags", found.tags.join(", ")],
    ["Template", found.template],
  ] as const;
  return (
    <DetailLayout
      back={{ to: "/snapshots", title: "Snapshots" }}
      title={<Text text={found.tags[0] ?? found.id} />}
      actions={ACTIONS}
      tab={tab}
      tabs={[{ id: "about", title: "About", content: () => <Facts facts={facts} /> }]}
    />
  );
}
