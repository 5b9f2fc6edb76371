import { Link } from "@tanstack/react-router";
import type { Sandbox } from "../../../api/schema.ts";
import { formatSize } from "../../../api/size.ts";
import { Age } from "../../parts/age.tsx";
import { Facts } from "../../parts/detail.tsx";
import { Graph, Meter } from "../../parts/graph.tsx";
import { Next, Until } from "../../parts/next.tsx";
import { Text } from "../../parts/text.tsx";
import { useUsage } from "../../state/follow.ts";
import { useHost } from "../../state/page-host.ts";
import { labelsOf, stateOf } from "./rows.ts";

function Use({ sandbox: { id, resources } }: { sandbox: Sandbox }) {
  useUsage();
  const usage = useHost((host) => host.usage.get(id));
  const cpu = usage?.cpuPercent.at(-1);
  const memory = usage?.memoryBytes.at(-1);
  if (usage === undefined || memory === undefined) return null;
  const most = resources.memoryMib * 2 ** 20;
  return (
    <section aria-label="Use" className="uses">
      <div>
        <Meter
          {...{ label: "CPU", value: cpu ?? 0, most: 100 * resources.cpus }}
          text={cpu === undefined ? "–" : `${cpu.toFixed(0)} % of ${resources.cpus} cpu`}
        />
        <Graph values={usage.cpuPercent} most={100 * resources.cpus} />
      </div>
      <div>
        <Meter
          {...{ label: "Memory", value: memory, most }}
          text={`${formatSize(memory)} of ${formatSize(most)}`}
        />
        <Graph values={usage.memoryBytes} most={most} />
      </div>
    </section>
  );
}

export function About({ sandbox }: { sandbox: Sandbox }) {
  const { resources, replay, snapshot, cache } = sandbox;
  const { text, tone } = stateOf(sandbox);
  return (
    <>
      <Use sandbox={sandbox} />
      <Facts
        facts={[
          [
            "State",
            <span key="state" className={tone}>
              {text}
              {sandbox.frozen && ": a request lets it go on"}
            </span>,
          ],
          ["Why", sandbox.reason === null ? undefined : <Text key="why" text={sandbox.reason} />],
          [
            "From",
            <Link key="from" to="/snapshots/$id" params={{ id: snapshot }}>
              <Text text={sandbox.from} />
            </Link>,
          ],
          [
            "Replay of",
            replay === null ? undefined : (
              <Link key="replay" to="/failures/$id" params={{ id: replay.capture }}>
                {replay.capture} ({replay.level})
              </Link>
            ),
          ],
          ["Isolation", sandbox.isolation],
          [
            "Created",
            <span key="age">
              <Age time={sandbox.createdAt} /> ago
              {sandbox.thawMs !== null && `, thawed in ${sandbox.thawMs.toFixed(0)} ms`}
            </span>,
          ],
          ["Next", sandbox.next === null ? "nothing by itself" : <Next key="next" next={sandbox.next} />],
          [
            "Ends",
            sandbox.expiresAt === null ? "when it is removed" : <Until key="ends" time={sandbox.expiresAt} />,
          ],
          ["Lease", sandbox.leased ? "it is removed when its client ends" : undefined],
          [
            "Machine",
            `${resources.cpus} cpu, ${formatSize(resources.memoryMib * 2 ** 20)} memory, ${formatSize(resources.diskMib * 2 ** 20)} disk`,
          ],
          ["Labels", <Text key="labels" text={labelsOf(sandbox).join(" ")} />],
          ["Cache", cache === null ? undefined : <Text key="cache" text={cache.key} />],
          ["Id", <code key="id">{sandbox.id}</code>],
        ]}
      />
    </>
  );
}
