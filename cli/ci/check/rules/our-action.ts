import { suggestNearest } from "../../../../api/nearest.ts";
import type { Hit, Rule } from "../finding.ts";
import { OUR_INPUTS } from "../our-inputs.ts";
import { isOurs, type Step, type Workflow } from "../workflow.ts";

function* inputsOf(step: Step): Generator<Hit> {
  for (const { key, name } of step.value.get("with")?.entries ?? []) {
    if (OUR_INPUTS.includes(name.toLowerCase())) continue;
    yield {
      at: key,
      message: `thaw-ci/thaw has no input ${name}: what it should have done is not done`,
      repair: suggestNearest(name, OUR_INPUTS, "docs/ACTION.md lists them"),
    };
  }
}

function* policyOf(step: Step): Generator<Hit> {
  const network = step.input("network");
  if (
    network?.text
      ?.toLowerCase()
      .split(/[\s,]+/)
      .includes("open") === true
  )
    yield {
      at: network,
      message: "the code in the sandbox may reach every address, and send away whatever it was given",
      repair: 'name what it needs, such as network: "@npm"; `audit` shows what that is',
    };
  const secrets = step.input("secrets");
  const isolation = step.input("isolation")?.text?.trim().toLowerCase() ?? "any";
  if (secrets?.text !== undefined && secrets.text.trim() !== "" && isolation === "any")
    yield {
      at: step.input("isolation") ?? secrets,
      message:
        "the sandbox gets secrets and may be an emulated machine, which QEMU does not promise to contain",
      repair: "isolation: kvm",
    };
  const store = step.input("capture-store");
  const place = store?.text?.trim().toLowerCase() ?? "host";
  const key = step.input("encrypt-to")?.text?.trim() ?? "";
  if (store !== undefined && place !== "host" && place !== "" && key === "")
    yield {
      at: store,
      message:
        "a capture is the machine's whole memory and disk, and whoever may read the store can read all of it",
      repair: "encrypt-to: AGE-RECIPIENT, or capture-store: host",
    };
}

export const ourUnknownInputs: Rule = {
  id: "thaw-unknown-input",
  *find({ jobs }: Workflow): Generator<Hit> {
    for (const step of jobs.flatMap(({ steps }) => steps).filter(isOurs)) yield* inputsOf(step);
  },
};

export const ourPolicy: Rule = {
  id: "thaw-policy",
  *find({ jobs }: Workflow): Generator<Hit> {
    for (const step of jobs.flatMap(({ steps }) => steps).filter(isOurs)) yield* policyOf(step);
  },
};
