import { getRouteApi } from "@tanstack/react-router";
import type { Action } from "../../parts/command.tsx";
import { DetailLayout, Facts } from "../../parts/detail.tsx";
import { Empty } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";

const ACTIONS: readonly Action[] = [];

export function Detail() {
  const route = getRouteApi("/hosts/$name");
  const { name } = route.useParams();
  const { tab } = route.useSearch();
  const found = useHost(({ info }) => (info?.host === name ? info : undefined));
  if (found === undefined) return <Empty>This host has no host {name}.</Empty>;
  const facts = [
    ["Version", found.version],
    ["State", found.home],
  ] as const;
  return (
    <DetailLayout
      back={{ to: "/hosts", title: "Hosts" }}
      title={<Text text={found.host} />}
      actions={ACTIONS}
      tab={tab}
      tabs={[{ id: "about", title: "About", content: () => <Facts facts={facts} /> }]}
    />
  );
}
