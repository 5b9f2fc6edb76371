import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { lazy, useRef } from "react";
import { thaw } from "../../client.ts";
import { Age } from "../../parts/age.tsx";
import { DetailLayout, type Tab } from "../../parts/detail.tsx";
import { Events } from "../../parts/events.tsx";
import { Next } from "../../parts/next.tsx";
import { Empty, Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { ahead } from "../../state/ahead.ts";
import { useHost } from "../../state/page-host.ts";
import { session } from "../../state/session.ts";
import { useValue } from "../../state/value.ts";
import { About } from "./about.tsx";
import { useSandboxActions } from "./actions.tsx";
import { Commands } from "./commands.tsx";
import { Files } from "./files.tsx";
import { Network } from "./network.tsx";
import { Ports } from "./ports.tsx";
import { Processes } from "./processes.tsx";
import { stateOf } from "./rows.ts";
import { Settings } from "./settings.tsx";
import "../../parts/views.css";

const loadTerminals = ahead(() => import("../../terminal/tabs.tsx"));
const Terminals = lazy(async () => ({ default: (await loadTerminals()).Terminals }));

/** A sandbox by its id, as the list has it; by its name or a prefix of its id, as the daemon finds it. */
function useSandbox(id: string) {
  const isThere = useHost(({ info }) => info !== undefined);
  const isListed = useHost(({ sandboxes }) => sandboxes.has(id));
  /** What was shown by this name. */
  const seen = useRef<string>(undefined);
  const asked = useQuery({
    queryKey: ["sandbox", id],
    queryFn: async ({ signal }) => (await thaw.sandboxes.get(id, { signal })).id,
    enabled: isThere && !isListed && seen.current !== id,
    gcTime: 0,
  });
  const found = isListed ? id : asked.data;
  const sandbox = useHost(({ sandboxes }) => (found === undefined ? undefined : sandboxes.get(found)));
  if (sandbox !== undefined) seen.current = id;
  return {
    sandbox,
    // one that was just made comes with the next event
    wasRemoved: sandbox === undefined && seen.current === id,
    error: isListed ? null : asked.error,
  };
}

export function Detail() {
  const route = getRouteApi("/sandboxes/$id");
  const { id } = route.useParams();
  const { tab, path, exec } = route.useSearch();
  const { sandbox, wasRemoved, error } = useSandbox(id);
  const actions = useSandboxActions(sandbox);
  const who = useValue(session);
  if (wasRemoved)
    return (
      <Empty title={`Sandbox ${id}`} command={["ls"]}>
        This sandbox was removed.
      </Empty>
    );
  if (error !== null) return <Failed title={`Sandbox ${id}`} error={error} />;
  if (sandbox === undefined) return <Loading what={`sandbox ${id}`} />;
  const { text, tone } = stateOf(sandbox);
  const open = sandbox.listening.length;
  const { name: as, rights } = who.state === "in" ? who.who : {};
  const tabs: readonly Tab[] = [
    { id: "about", title: "About", content: () => <About sandbox={sandbox} /> },
    {
      id: "terminal",
      title: "Terminal",
      content: () =>
        rights === "read" ? (
          <Empty>A session with the right read only looks: a terminal needs operate.</Empty>
        ) : (
          <Terminals key={sandbox.id} thaw={thaw} sandbox={sandbox.id} execs={sandbox.execs} as={as} />
        ),
    },
    { id: "commands", title: "Commands", content: () => <Commands sandbox={sandbox} exec={exec} /> },
    { id: "files", title: "Files", content: () => <Files sandbox={sandbox} path={path ?? "/"} /> },
    {
      id: "ports",
      title: open === 0 ? "Ports" : `Ports (${open})`,
      content: () => <Ports sandbox={sandbox} />,
    },
    { id: "network", title: "Network", content: () => <Network sandbox={sandbox} /> },
    { id: "processes", title: "Processes", content: () => <Processes sandbox={sandbox} /> },
    {
      id: "settings",
      title: "Timers and labels",
      content: () => <Settings key={sandbox.id} sandbox={sandbox} />,
    },
    { id: "events", title: "Events", content: () => <Events sandbox={sandbox.id} name={sandbox.name} /> },
  ];
  return (
    <DetailLayout
      back={{ to: "/sandboxes", title: "Sandboxes" }}
      title={<Text text={sandbox.name} />}
      subtitle={
        <>
          <span className={tone}>{text}</span> · <Text text={sandbox.from} /> · {sandbox.isolation} ·{" "}
          <Age time={sandbox.createdAt} />
          {sandbox.next !== null && (
            <>
              {" "}
              · <Next next={sandbox.next} />
            </>
          )}
        </>
      }
      actions={actions}
      tabs={tabs}
      tab={tab}
    />
  );
}
