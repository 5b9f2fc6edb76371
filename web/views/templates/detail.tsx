import { useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useMemo } from "react";
import { formatElapsed } from "../../../api/duration.ts";
import type { Template } from "../../../api/schema.ts";
import { formatSize } from "../../../api/size.ts";
import { thaw } from "../../client.ts";
import { Age } from "../../parts/age.tsx";
import { type Action, ActionButton, CommandText } from "../../parts/command.tsx";
import { DetailLayout, Facts, type Tab } from "../../parts/detail.tsx";
import { Output } from "../../parts/output.tsx";
import { PackageSummary } from "../../parts/packages.tsx";
import { Empty, Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { pageHost, useHost } from "../../state/page-host.ts";
import { useValue } from "../../state/value.ts";
import { type Build, builds, buildTemplate } from "./builds.ts";
import "../../parts/views.css";

/** No event tells of steps that were removed. */
async function refresh(): Promise<void> {
  const templates = await thaw.templates.list();
  pageHost.set((host) => ({ ...host, templates }));
}

function useTemplateActions(template: Template | undefined): readonly Action[] {
  const navigate = useNavigate();
  return useMemo((): readonly Action[] => {
    if (template === undefined) return [];
    const { name, shipped, snapshot, storedBytes, steps } = template;
    const refusal = shipped ? undefined : "Its recipe is not on this host.";
    const build = (force: boolean): Action => ({
      ...{ label: force ? "Build again" : "Build", title: `Build ${name}`, refusal },
      ...(force ? {} : { shortcut: "return", isPrimary: true }),
      args: ["template", "build", name, ...(force ? ["--force"] : [])],
      run: async (report) => {
        void navigate({ to: "/templates/$name", params: { name }, search: { tab: "build" }, replace: true });
        return buildTemplate(name, { force, report });
      },
    });
    return [
      build(snapshot !== null),
      {
        ...{ label: "New sandbox", shortcut: "n", title: `Create from ${name}`, refusal },
        args: ["create", "--template", name],
        run: async () => "",
        open: () => void navigate({ to: "/sandboxes", search: { new: "1", template: name } }),
      },
      {
        ...{ label: "Remove what was built", shortcut: "d", title: `Remove ${name}`, isDangerous: true },
        refusal: snapshot === null && steps.length === 0 ? "Nothing is built of it." : undefined,
        args: ["template", "rm", name],
        question: {
          title: `Remove what was built of ${name}?`,
          lines: [
            `Its snapshots go (${formatSize(storedBytes)}), and its ${steps.length} kept steps.`,
            "The recipe stays. A snapshot that a sandbox or a failure needs is not removed.",
          ],
          verb: "Remove",
        },
        run: async () => {
          const { snapshots, steps: gone } = await thaw.templates.remove(name);
          await refresh();
          return `${snapshots.length} snapshots and ${gone.length} steps were removed`;
        },
      },
    ];
  }, [template, navigate]);
}

function About({ template }: { template: Template }) {
  const { description, tag, from, resources, shipped, snapshot, builtAt, storedBytes, packages } = template;
  return (
    <>
      <p>
        <Text text={description} />
      </p>
      <Facts
        facts={[
          ["Recipe", shipped ? "shipped with thaw" : "not on this host: another client built it"],
          ["From", <Text key="from" text={from} />],
          ["Tag", <Text key="tag" text={tag} />],
          [
            "Machine",
            `${resources.cpus} cpu, ${formatSize(resources.memoryMib * 2 ** 20)} memory, ${formatSize(resources.diskMib * 2 ** 20)} disk`,
          ],
          [
            "Snapshot",
            snapshot === null ? (
              "not built"
            ) : (
              <Link key="snapshot" to="/snapshots/$id" params={{ id: snapshot }}>
                <code>{snapshot}</code>
              </Link>
            ),
          ],
          [
            "Built",
            builtAt === null ? undefined : (
              <span key="built">
                <Age time={builtAt} /> ago
              </span>
            ),
          ],
          ["Packages", snapshot === null ? undefined : <PackageSummary key="packages" packages={packages} />],
          ["All snapshots", storedBytes === 0 ? undefined : formatSize(storedBytes)],
        ]}
      />
      <p className="row-of">
        <CommandText args={["template", "show", template.name]} />
      </p>
    </>
  );
}

/** Its text, as the host has it. */
function Recipe({ template: { name, shipped } }: { template: Template }) {
  const text = useQuery({
    queryKey: ["recipe", name],
    queryFn: ({ signal }) => thaw.templates.recipe(name, { signal }),
    enabled: shipped,
  });
  if (!shipped)
    return (
      <p className="dim">
        The recipe is not on this host: another client built the template. It is where that client has it.
      </p>
    );
  if (text.error !== null) return <Failed error={text.error} retry={() => void text.refetch()} />;
  if (text.data === undefined) return <Loading what="the recipe" />;
  return (
    <>
      <p className="row-of">
        <CommandText args={["template", "show", name, "--recipe"]} />
        <CommandText args={["template", "edit", name]} />
      </p>
      <Output label="Text of the recipe" lines={text.data.trimEnd().split("\n")} />
    </>
  );
}

function Steps({ template: { steps } }: { template: Template }) {
  if (steps.length === 0)
    return (
      <p className="dim">
        No step is kept. A build keeps a machine after each, so that the next one begins there.
      </p>
    );
  return (
    <table>
      <thead>
        <tr>
          <th>Step</th>
          <th>Id</th>
          <th className="right">Size</th>
          <th className="right">Used</th>
          <th>A prune</th>
        </tr>
      </thead>
      <tbody>
        {steps.map(({ id, name, bytes, usedAt, prunable, freesBytes }) => (
          <tr key={id}>
            <td className="wide">
              <Text text={name} />
            </td>
            <td>
              <code>{id}</code>
            </td>
            <td className="right">{formatSize(bytes)}</td>
            <td className="right">
              <Age time={usedAt} />
            </td>
            <td>
              {prunable === null ? (
                <span className="dim">leaves it</span>
              ) : (
                <>
                  frees {formatSize(freesBytes)}: <Text text={prunable} />
                </>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** What a prune of all templates' steps would free. */
function Prune() {
  const queries = useQueryClient();
  const plan = useQuery({
    queryKey: ["template-prune"],
    queryFn: ({ signal }) => thaw.templates.prune({ dryRun: true, signal }),
    staleTime: 0,
  });
  if (plan.error !== null) return <Failed error={plan.error} retry={() => void plan.refetch()} />;
  if (plan.data === undefined) return <Loading what="what a prune would free" />;
  const { steps } = plan.data;
  const bytes = steps.reduce((sum, step) => sum + step.bytes, 0);
  const action: Action = {
    ...{ label: "Prune steps of all templates", title: "Prune templates", isDangerous: true },
    refusal: steps.length === 0 ? "Every kept step is needed." : undefined,
    args: ["template", "prune"],
    question: {
      title: "Remove steps that no built template needs?",
      lines: [
        `${steps.length} steps go, and ${formatSize(bytes)} are freed. A build that would begin there takes longer.`,
      ],
      verb: "Prune",
    },
    run: async () => {
      const done = await thaw.templates.prune();
      await Promise.all([queries.invalidateQueries({ queryKey: ["template-prune"] }), refresh()]);
      return `${done.steps.length} steps were removed`;
    },
  };
  return (
    <>
      <p>
        {steps.length === 0
          ? "A prune of templates would free nothing now."
          : `A prune of templates would remove ${steps.length} steps and free ${formatSize(bytes)}:`}
      </p>
      {steps.length > 0 && (
        <ul className="lines">
          {steps.map(({ id, bytes: each, reason }) => (
            <li key={id}>
              <code>{id}</code> {formatSize(each)} <Text className="dim" text={reason} />
            </li>
          ))}
        </ul>
      )}
      <div className="narrow">
        <ActionButton action={action} />
      </div>
    </>
  );
}

function BuildLog({ build, template }: { build: Build | undefined; template: Template }) {
  if (build === undefined)
    return (
      <p className="row-of dim">
        Nothing was built from this page yet.{" "}
        <CommandText args={["template", "build", template.name, "--verbose"]} />
      </p>
    );
  return (
    <>
      <p role="status" className={build.failure !== undefined ? "bad" : build.isRunning ? "warn" : "good"}>
        {build.failure !== undefined ? (
          <Text text={build.failure} />
        ) : build.isRunning ? (
          "Building …"
        ) : (
          "Built."
        )}
      </p>
      <table>
        <thead>
          <tr>
            <th>Phase</th>
            <th>State</th>
            <th className="right">Took</th>
            <th>Note</th>
          </tr>
        </thead>
        <tbody>
          {build.phases.map(({ name, state, elapsedMs, detail }, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: phases never move
            <tr key={index}>
              <td>
                <Text text={name} />
              </td>
              <td className={state === "done" ? "good" : "warn"}>{state}</td>
              <td className="right">{elapsedMs === undefined ? "" : formatElapsed(elapsedMs)}</td>
              <td className="wide dim">
                <Text text={detail ?? ""} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {build.lines.length > 0 && (
        <>
          <h2>Output</h2>
          <Output label="Output of the build" lines={build.lines} />
        </>
      )}
    </>
  );
}

export function Detail() {
  const route = getRouteApi("/templates/$name");
  const { name } = route.useParams();
  const { tab } = route.useSearch();
  const isThere = useHost(({ info }) => info !== undefined);
  const template = useHost(({ templates }) => templates.find((each) => each.name === name));
  const build = useValue(builds).get(name);
  const actions = useTemplateActions(template);
  if (template === undefined)
    return isThere ? (
      <Empty title={`Template ${name}`} command={["template", "ls"]}>
        This host has no template <Text text={name} />.
      </Empty>
    ) : (
      <Loading what="the template" />
    );
  const tabs: readonly Tab[] = [
    { id: "about", title: "About", content: () => <About template={template} /> },
    { id: "recipe", title: "Recipe", content: () => <Recipe template={template} /> },
    {
      id: "steps",
      title: template.steps.length === 0 ? "Steps" : `Steps (${template.steps.length})`,
      content: () => (
        <>
          <Steps template={template} />
          <h2>Room</h2>
          <Prune />
        </>
      ),
    },
    {
      id: "build",
      title: build?.isRunning === true ? "Build …" : "Build",
      content: () => <BuildLog build={build} template={template} />,
    },
  ];
  return (
    <DetailLayout
      back={{ to: "/templates", title: "Templates" }}
      title={<Text text={template.name} />}
      subtitle={
        <>
          {template.snapshot === null ? "not built" : <span className="good">built</span>} ·{" "}
          <Text text={template.tag} />
          {template.storedBytes > 0 && ` · ${formatSize(template.storedBytes)}`}
        </>
      }
      actions={actions}
      tabs={tabs}
      tab={tab}
    />
  );
}
