/** action.yml, as GitHub reads it. */

import { stringify } from "yaml";
import { defined } from "../api/defined.ts";
import { INPUTS, type InputDefinition, OUTPUTS } from "./inputs.ts";

function describe({ description, default: value }: InputDefinition) {
  return { description, required: false, ...defined({ default: value }) };
}

export function actionMetadata(): string {
  const metadata = {
    name: "thaw",
    description:
      "Runs a step in a microVM thawed from a snapshot. When the step fails, captures the whole machine, so that you can open it later.",
    author: "thaw",
    branding: { icon: "box", color: "blue" },
    inputs: Object.fromEntries(INPUTS.map((input) => [input.name, describe(input)])),
    outputs: Object.fromEntries(OUTPUTS.map(({ name, description }) => [name, { description }])),
    runs: {
      using: "node24",
      main: "dist/action/main.mjs",
      post: "dist/action/post.mjs",
      "post-if": "always()",
    },
  };
  return stringify(metadata, { lineWidth: 120 });
}
