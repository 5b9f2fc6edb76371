import { networkModes } from "../../../../client/index.ts";
import type { Field, State } from "../../state/state.ts";

/** What a new sandbox on that host may be asked to be. */
export function createFields({ hosts }: Pick<State, "hosts">, context: string): Field[] {
  const host = hosts.find((each) => each.context === context);
  const templates = host?.templates.map(({ name }) => name) ?? [];
  const tags = [...(host?.snapshots.values() ?? [])].flatMap((each) => each.tags);
  return [
    { flag: "--template", label: "template", value: "", hint: "default: base", choices: ["", ...templates] },
    {
      ...{ flag: "--snapshot", label: "snapshot", value: "", hint: "instead of a template: a tag or an id" },
      choices: ["", ...tags],
    },
    { flag: "--name", label: "name", value: "", hint: "default: its id" },
    { flag: "--cpus", label: "cpus", value: "", hint: "default: the template's" },
    { flag: "--memory", label: "memory", value: "", hint: "such as 2G; default: the template's" },
    {
      flag: "--ttl",
      label: "ttl",
      value: "",
      hint: "remove the sandbox after this time, such as 2h; default: the host's setting",
    },
    {
      ...{ flag: "--network", label: "network", value: "", hint: "default: the template's, else none" },
      choices: ["", ...networkModes],
    },
    {
      ...{
        flag: "--allow",
        label: "allow",
        value: "",
        hint: "allowed destinations, such as @npm *.example.com",
      },
      takesMany: true,
    },
  ];
}
