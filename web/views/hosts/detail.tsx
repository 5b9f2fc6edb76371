import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useMemo } from "react";
import type { DaemonInfo, DoctorReport, Probe } from "../../../api/schema.ts";
import { formatSize } from "../../../api/size.ts";
import { thaw } from "../../client.ts";
import { Age } from "../../parts/age.tsx";
import { type Action, CommandText } from "../../parts/command.tsx";
import { DetailLayout, Facts, type Tab } from "../../parts/detail.tsx";
import { Events } from "../../parts/events.tsx";
import { Meter } from "../../parts/graph.tsx";
import { Empty, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { useUsage } from "../../state/follow.ts";
import { pageHost, useHost } from "../../state/page-host.ts";
import { Access } from "./access.tsx";
import { AuditLog } from "./audit.tsx";
import { Disk } from "./disk.tsx";
import { Limits } from "./limits.tsx";
import { Pools } from "./pools.tsx";
import { Quarantine } from "./quarantine.tsx";
import "../../parts/views.css";

const MARKS = { ok: ["✓", "good"], warning: ["!", "warn"], missing: ["✗", "bad"] } as const;

function ProbeRow({ probe: { name, state, detail, hint } }: { probe: Probe }) {
  const [mark, tone] = MARKS[state];
  return (
    <tr>
      <td className={tone} title={state}>
        <span aria-hidden="true">{mark}</span>
        <span className="unseen">{state}</span>
      </td>
      <th scope="row" className="nowrap">
        <Text text={name} />
      </th>
      <td className="wide">
        <Text text={detail} />
        {hint !== undefined && state !== "ok" && (
          <div className="dim">
            → <Text text={hint} />
          </div>
        )}
      </td>
    </tr>
  );
}

function Doctor({ doctor }: { doctor: DoctorReport | undefined }) {
  if (doctor === undefined) return <Loading what="what the host has and lacks" />;
  const worst = { missing: 0, warning: 1, ok: 2 };
  const probes = doctor.probes.toSorted((a, b) => worst[a.state] - worst[b.state]);
  return (
    <>
      <p className={doctor.ready ? "good" : "bad"}>
        {doctor.ready ? "This host is ready." : "This host is not ready; what is missing comes first."}
      </p>
      <table className="stacks">
        <thead className="unseen">
          <tr>
            <th>State</th>
            <th>Part</th>
            <th>What was found</th>
          </tr>
        </thead>
        <tbody>
          {probes.map((probe) => (
            <ProbeRow key={`${probe.name} ${probe.detail}`} probe={probe} />
          ))}
        </tbody>
      </table>
    </>
  );
}

function Use({ info }: { info: DaemonInfo }) {
  useUsage();
  const machine = useHost((host) => host.machine);
  const sandboxes = useHost((host) => host.sandboxes);
  const usage = useHost((host) => host.usage);
  const snapshots = useHost((host) => host.snapshots);
  const captures = useHost((host) => host.captures);
  const promised = [...sandboxes.values()].reduce((sum, { resources }) => sum + resources.memoryMib, 0);
  const used = [...usage.values()].reduce((sum, { memoryBytes }) => sum + (memoryBytes.at(-1) ?? 0), 0);
  const cpu = [...usage.values()].reduce((sum, { cpuPercent }) => sum + (cpuPercent.at(-1) ?? 0), 0);
  const size = (mib: number): string => formatSize(mib * 2 ** 20);
  return (
    <>
      {machine === undefined ? (
        <Loading what="use" />
      ) : (
        <section aria-label="Use" className="meters">
          <Meter
            {...{
              label: "Memory in use",
              most: machine.memoryMib,
              value: machine.memoryMib - machine.availableMib,
            }}
            text={`${size(machine.memoryMib - machine.availableMib)} of ${size(machine.memoryMib)}`}
          />
          <Meter
            {...{ label: "By sandboxes", most: machine.memoryMib, value: used / 2 ** 20 }}
            text={formatSize(used)}
          />
          <Meter
            {...{ label: "Sandboxes, at most", most: machine.memoryMib, value: promised }}
            text={size(promised)}
          />
          <Meter
            {...{ label: "CPU by sandboxes", most: 100 * machine.cpus, value: cpu }}
            text={`${cpu.toFixed(0)} % of ${machine.cpus} cpu`}
          />
        </section>
      )}
      <h2>Limits</h2>
      <Limits />
      <h2>Daemon</h2>
      <Facts
        facts={[
          ["Version", `${info.version} (${info.digest})`],
          [
            "Runs for",
            <span key="up">
              <Age time={info.startedAt} />, process {info.pid}, {formatSize(info.rssBytes)}
            </span>,
          ],
          ["State folder", <Text key="home" className="mono" text={info.home} />],
          ["Sandboxes", sandboxes.size],
          ["Snapshots", snapshots.size],
          ["Failures", captures.size],
        ]}
      />
    </>
  );
}

function useHostActions(): readonly Action[] {
  const navigate = useNavigate();
  return useMemo(
    (): readonly Action[] => [
      {
        ...{ label: "Ask the doctor again", title: "Doctor" },
        args: ["doctor"],
        run: async () => {
          const doctor = await thaw.host.doctor();
          pageHost.set((host) => ({ ...host, doctor }));
          return doctor.ready ? "the host is ready" : "the host is not ready";
        },
      },
      {
        ...{ label: "Prune", shortcut: "D", title: "Prune", isDangerous: true },
        args: ["prune"],
        question: {
          title: "Prune this host?",
          lines: [
            "Failures that exceed the host's budgets go, and so do snapshots, caches, steps and root file systems that nothing needs. The tab Disk shows what that frees.",
          ],
          verb: "Prune",
        },
        run: async () => {
          const done = await thaw.host.prune();
          const gone = [
            done.captures,
            done.snapshots,
            done.compressed,
            done.caches,
            done.steps,
            done.rootfs,
          ].flat();
          const bytes = gone.reduce((sum, each) => sum + each.bytes, 0);
          return `${done.captures.length} failures and ${done.snapshots.length} snapshots were removed, ${formatSize(bytes)} freed`;
        },
        done: () =>
          void navigate({ to: ".", search: ((before: object) => ({ ...before, tab: "disk" })) as never }),
      },
    ],
    [navigate],
  );
}

export function Detail() {
  const route = getRouteApi("/hosts/$name");
  const { name } = route.useParams();
  const { tab } = route.useSearch();
  const info = useHost((host) => host.info);
  const doctor = useHost((host) => host.doctor);
  const actions = useHostActions();
  if (info === undefined) return <Loading what="the host" />;
  if (info.host !== name)
    return (
      <Empty title={`Host ${name}`} command={["--context", name, "ui"]}>
        This page is of another host: <Text text={info.host} />. The page of {name}:
      </Empty>
    );
  const tabs: readonly Tab[] = [
    { id: "doctor", title: "Doctor", content: () => <Doctor doctor={doctor} /> },
    { id: "use", title: "Use", content: () => <Use info={info} /> },
    { id: "disk", title: "Disk", content: () => <Disk /> },
    { id: "pools", title: "Pools", content: () => <Pools /> },
    { id: "access", title: "Access", content: () => <Access /> },
    { id: "audit", title: "Audit", content: () => <AuditLog /> },
    { id: "quarantine", title: "Quarantine", content: () => <Quarantine /> },
    { id: "events", title: "Events", content: () => <Events /> },
  ];
  return (
    <DetailLayout
      back={{ to: "/hosts", title: "Hosts" }}
      title={<Text text={info.host} />}
      subtitle={
        <>
          thaw {info.version} · up <Age time={info.startedAt} /> · <CommandText args={["info"]} />
        </>
      }
      actions={actions}
      tabs={tabs}
      tab={tab}
    />
  );
}
