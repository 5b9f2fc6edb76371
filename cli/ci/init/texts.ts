/** The files that are written. */
import { stringify } from "yaml";
import { parseDuration } from "../../../api/duration.ts";
import { notYet } from "../check/our-inputs.ts";
import type { ActionReference } from "./action-reference.ts";
import { type Answers, isSelfHosted } from "./answers.ts";

const CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1";
/** What a job needs beside its command: the machine, the workspace, a capture. */
const AROUND_MINUTES = 15;
const FORK = "github.event.pull_request.head";

/** Whether the Action can fetch the code inside the sandbox. */
export const canFetchInside = !notYet.includes("repository");

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
function events({ runsOn, branch }: Answers, inside: boolean): string {
  const push = `  push: { branches: ${scalar([branch])} }\n`;
  if (!isSelfHosted(runsOn))
    return `# A pull request's code runs in the sandbox only, without secrets, beside a token that reads.\non:\n${push}  pull_request:\n`;
  if (inside)
    return `# pull_request_target takes this file from the base branch: a pull request can't change what runs on your host. Its code is never
# on the runner: it is fetched inside the sandbox. Don't add a checkout of it, secrets or rights to write.
on:\n${push}  pull_request_target:\n`;
  return `# Not for pull requests of forks: with them anybody could change this file, and so run anything on your host.\non: push\n`;
}

function steps(
  { runsOn, template, command, network, timeout }: Answers,
  action: ActionReference,
  inside: boolean,
): string {
  const fetched = inside
    ? `          repository: \${{ ${FORK}.repo.full_name || github.repository }}
          ref: \${{ ${FORK}.sha || github.sha }}
`
    : "";
  const checkout = inside ? "" : `      - uses: ${CHECKOUT}\n        with: { persist-credentials: false }\n`;
  return `${checkout}      - uses: ${action.uses} # ${action.version}
        with:
${fetched}          template: ${scalar(template)}
${network.length === 0 ? "" : `          network: ${scalar(network.join(" "))}\n`}${isSelfHosted(runsOn) ? "          queue-timeout: 10m\n" : ""}          timeout: ${timeout}
          run: |
${block(command, 12)}
`;
}

export function workflowText(answers: Answers, action: ActionReference): string {
  const { runsOn, timeout } = answers;
  const inside = canFetchInside;
  const minutes = Math.ceil(parseDuration(timeout) / 60_000) + AROUND_MINUTES;
  return `# Runs the tests in a microVM; when they fail, the whole machine is kept. What is unsafe here is found by: thaw ci check
name: thaw
${events(answers, inside)}permissions: {}
concurrency:
  group: \${{ github.workflow }}-\${{ github.event.pull_request.number || github.ref }}
  cancel-in-progress: \${{ github.event_name != 'push' }}
jobs:
  test:
    runs-on: ${runsOn.length === 1 ? scalar(runsOn[0] ?? "") : scalar(runsOn)}
    timeout-minutes: ${minutes}
    permissions: { contents: read }
    steps:
${steps(answers, action, inside)}`;
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
