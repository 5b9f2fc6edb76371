import { getRouteApi } from "@tanstack/react-router";
import type { Action } from "../../parts/command.tsx";
import { DetailLayout, Facts } from "../../parts/detail.tsx";
import { Empty } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";

const ACTIONS: readonly Action[] = [];

export function Detail() {
  const route = getRouteApi("/templates/$name");
  const { name } = route.useParams();
  const { tab } = route.useSearch();
  const found = useHost(({ templates }) => templates.find((template) => template.name === name));
  if (found === undefined) return <Empty>This host has no template {name}.</Empty>;
  const facts = [["Name", found.name]] as const;
  return (
    <DetailLayout
      back={{ to: "/templates", title: "Templates" }}
      title={<Text text={found.name} />}
      actions={ACTIONS}
      tab={tab}
      tabs={[{ id: "about", title: "About", content: () => <Facts facts={facts} /> }]}
    />
  );
}
