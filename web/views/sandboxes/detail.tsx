import { getRouteApi } from "@tanstack/react-router";
import { lazy } from "react";
import { thaw } from "../../client.ts";
import { Age } from "../../parts/age.tsx";
import type { Action } from "../../parts/command.tsx";
import { DetailLayout, Facts } from "../../parts/detail.tsx";
import { Empty } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";
import { session } from "../../state/session.ts";
import { useValue } from "../../state/value.ts";

const Terminals = lazy(() =>
  import("../../terminal/tabs.tsx").then((loaded) => ({ default: loaded.Terminals })),
);
const ACTIONS: readonly Action[] = [];

export function Detail() {
  const route = getRouteApi("/sandboxes/$id");
  const { id } = route.useParams();
  const { tab } = route.useSearch();
  const signedIn = useValue(session);
  const sandbox = useHost(({ sandboxes }) => sandboxes.get(id));
  if (sandbox === undefined) return <Empty>This host has no sandbox {id}.</Empty>;
  const as = signedIn.state === "in" ? signedIn.who.name : undefined;
  const facts = [
    ["State", sandbox.state],
    ["From", <Text key="from" text={sandbox.from} />],
    ["Isolation", sandbox.isolation],
    ["Created", <Age key="age" time={sandbox.createdAt} />],
  ] as const;
  return (
    <DetailLayout
      back={{ to: "/sandboxes", title: "Sandboxes" }}
      title={<Text text={sandbox.name} />}
      actions={ACTIONS}
      tab={tab}
      tabs={[
        { id: "about", title: "About", content: () => <Facts facts={facts} /> },
        {
          id: "terminal",
          title: "Terminal",
          content: () => <Terminals key={id} thaw={thaw} sandbox={id} execs={sandbox.execs} as={as} />,
        },
      ]}
    />
  );
}
