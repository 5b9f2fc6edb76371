import type { Template } from "../../../../client/index.ts";
import { formatSize } from "../../../format/size.ts";
import type { Column } from "../../draw/columns.ts";
import { hostColumn, pairs, rowKey } from "../common.ts";
import type { Pane, Row, Verb, View } from "../view.ts";

interface TemplateRow extends Row {
  template: Template;
}

const columns: readonly Column<TemplateRow>[] = [
  { title: "NAME", width: 12, grows: 0.5, rank: 0, cell: ({ name }) => ({ text: name, tone: "strong" }) },
  { title: "TAG", width: 12, rank: 1, cell: ({ template }) => template.tag },
  {
    title: "BUILT",
    width: 6,
    rank: 0,
    cell: ({ template }) =>
      template.snapshot === null ? { text: "no", tone: "dim" } : { text: "yes", tone: "good" },
  },
  { title: "FROM", width: 20, rank: 3, cell: ({ template }) => template.from },
  { title: "DESCRIPTION", width: 20, grows: 2, rank: 2, cell: ({ template }) => template.description },
  hostColumn,
];

const detail: Pane<TemplateRow> = {
  title: "Detail",
  lines: ({ template: { name, description, tag, from, resources, snapshot } }) =>
    pairs([
      ["name", name],
      ["description", description],
      ["tag", tag],
      ["from", from],
      [
        "machine",
        `${resources.cpus} CPUs, ${formatSize(resources.memoryMib * 2 ** 20)} memory, ${formatSize(resources.diskMib * 2 ** 20)} disk`,
      ],
      ["snapshot", snapshot ?? "not built: ↵ builds it"],
    ]),
};

/** A recipe that another client has built is not on this host. */
const noRecipe = ({ template: { shipped, name } }: TemplateRow): string | undefined =>
  shipped ? undefined : `the recipe of ${name} is not on this host: b builds it from a file`;

const verbs: readonly Verb<TemplateRow>[] = [
  {
    kind: "call",
    key: "return",
    label: "build",
    refusal: noRecipe,
    help: "Builds a snapshot from the template, unless it is built already.",
    args: ({ name }) => ["template", "build", name],
    run: async ({ name, context }, { client, update }) => {
      const snapshot = await client(context).templates.build(
        { template: name },
        {
          onProgress: ({ phase, state, detail }) =>
            update((state_) => ({
              ...state_,
              message: {
                text: `${name}: ${phase} ${state}${detail === undefined ? "" : ` ${detail}`}`,
                tone: "dim",
              },
            })),
        },
      );
      return `${name} is built: ${snapshot.tags[0] ?? snapshot.id}`;
    },
  },
  {
    kind: "call",
    key: "n",
    label: "thaw",
    refusal: noRecipe,
    help: "Creates a sandbox from the template. If needed, builds the template first.",
    args: ({ name }) => ["create", "--template", name],
    run: async ({ name, context }, { client }) =>
      `${(await client(context).sandboxes.create({ source: { template: name } })).name} is running`,
  },
  {
    kind: "terminal",
    key: "l",
    label: "show",
    help: "Shows the template's details in $PAGER.",
    isPaged: true,
    args: ({ name }) => ["template", "show", name],
  },
  {
    kind: "terminal",
    key: "e",
    label: "edit",
    refusal: noRecipe,
    help: "Opens the template's file in $EDITOR, then offers the command that builds it. A shipped template is copied into the current folder first.",
    args: ({ name }) => ["template", "edit", name],
    next: ({ name }) => ["template", "build", `./${name}.yaml`],
  },
  {
    kind: "line",
    key: "b",
    label: "build file",
    help: "Builds a template from your own file: complete the command.",
    rowless: true,
    args: () => ["template", "build"],
    rest: "./",
  },
];

export const templates: View<TemplateRow> = {
  id: "templates",
  title: "Templates",
  columns,
  parts: ["templates"],
  rows: (hosts) =>
    hosts.flatMap(({ context, templates }) =>
      templates.map(
        (template): TemplateRow => ({
          key: rowKey(context, template.name),
          context,
          name: template.name,
          text: `${template.name} ${template.tag} ${template.description} ${context}`,
          template,
        }),
      ),
    ),
  panes: [detail],
  verbs,
  empty: "no host answers",
};
