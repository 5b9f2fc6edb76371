/** The files that are written. */
import { stringify } from "yaml";
import { parseDuration } from "../../../api/duration.ts";
import { isTemplatePath } from "../../../client/index.ts";
import type { ActionReference } from "./action-reference.ts";
import { type Answers, isSelfHosted } from "./answers.ts";

const CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1";
/** What a job needs beside its command: the machine, the workspace, a capture. */
const AROUND_MINUTES = 15;

/** Recipes of other templates are files of the repository. */
const SHIPPED = ["base", "node", "python", "go", "rust", "java", "docker"];

function scalar(value: string | string[]): string {
  return stringify(value, { collectionStyle: "flow", flowCollectionPadding: false, lineWidth: 0 }).trimEnd();
}

/** A text as a block of lines. */
function block(text: string, indent: number): string {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => `${" ".repeat(indent)}${line}`)
    .join("\n");
}

/** Why the events are what they are, and the events. */
function events({ runsOn, branch }: Answers): string {
  const push = `  push: { branches: ${scalar([branch])} }\n`;
  if (!isSelfHosted(runsOn))
    return `# The code is fetched inside the sandbox and is never on the runner. It runs without secrets, beside a token that reads.\non:\n${push}  pull_request:\n`;
  return `# pull_request_target takes this file from the base branch: a pull request can't change what runs on your host. Its code is never
# on the runner: it is fetched inside the sandbox. Don't add a checkout of it, secrets or rights to write.
on:\n${push}  pull_request_target:\n`;
}

function steps({ runsOn, template, command, network, timeout }: Answers, action: ActionReference): string {
  const own = isTemplatePath(template) || !SHIPPED.includes(template);
  const checkout = `      # for the template's recipe
      - uses: ${CHECKOUT}
        with: { persist-credentials: false }
`;
  // The objects of a fork's pull request are its base repository's too, so the job's own token can fetch them.
  return `${own ? checkout : ""}      - uses: ${action.uses} # ${action.version}
        with:
          repository: \${{ github.repository }}
          ref: \${{ github.event.pull_request.head.sha || github.sha }}
          token: \${{ github.token }}
          template: ${scalar(template)}
${network.length === 0 ? "" : `          network: ${scalar(network.join(" "))}\n`}${isSelfHosted(runsOn) ? "          queue-timeout: 10m\n" : ""}          timeout: ${timeout}
          run: |
${block(command, 12)}
`;
}

export function workflowText(answers: Answers, action: ActionReference): string {
  const { runsOn, timeout } = answers;
  const minutes = Math.ceil(parseDuration(timeout) / 60_000) + AROUND_MINUTES;
  return `# Runs the tests in a microVM; when they fail, the whole machine is kept. What is unsafe here is found by: thaw ci check
name: thaw
${events(answers)}permissions: {}
concurrency:
  group: \${{ github.workflow }}-\${{ github.event.pull_request.number || github.ref }}
  cancel-in-progress: \${{ github.event_name != 'push' }}
jobs:
  test:
    runs-on: ${runsOn.length === 1 ? scalar(runsOn[0] ?? "") : scalar(runsOn)}
    timeout-minutes: ${minutes}
    permissions: { contents: read }
    steps:
${steps(answers, action)}`;
}

export function projectText({ template, command, network, timeout }: Answers): string {
  const allowed = network.length === 0 ? "" : `    network: { allow: ${scalar(network)} }\n`;
  return `# The runs of this repository: thaw run test
version: 1
runs:
  test:
    description: the tests, as .github/workflows/thaw.yml runs them
    template: ${scalar(template)}
    workspace: .
    command: |
${block(command, 6)}
${allowed}    timeout: ${timeout}
    capture: on-failure
`;
}
