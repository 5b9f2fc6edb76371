/** What is written depends on: by flags, by questions, or as proposed; checked all at once. */
import { parseDuration } from "../../../api/duration.ts";
import { isTemplatePath, mistakesIn, ThawError } from "../../../client/index.ts";
import type { Proposal } from "./detect.ts";

export interface InitFlags {
  runsOn?: string;
  template?: string;
  command?: string;
  network?: string;
  timeout?: string;
  branch?: string;
  action?: string;
  project: boolean;
  force?: boolean;
  yes?: boolean;
  json?: boolean;
}

export interface Answers {
  /** Labels, of a runner of GitHub's or one's own. */
  runsOn: string[];
  template: string;
  command: string;
  network: string[];
  timeout: string;
  branch: string;
}

export const HOSTED = "ubuntu-24.04";
export const SELF_HOSTED = "self-hosted, linux, x64";
export const DEFAULT_TIMEOUT = "20m";

const LABEL = /^[A-Za-z0-9][\w. -]{0,99}$/;
const BRANCH = /^[A-Za-z0-9][\w./-]{0,200}$/;
const TEMPLATE = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const MAX_COMMAND = 4096;

function words(text: string): string[] {
  return text.split(/[\s,]+/).filter((word) => word !== "");
}

export function isSelfHosted(runsOn: readonly string[]): boolean {
  return !runsOn.some((label) => /^(?:ubuntu|windows|macos)-/.test(label));
}

function tryDuration(text: string): string | undefined {
  try {
    const ms = parseDuration(text);
    return ms >= 1000 && ms <= 6 * 3_600_000 ? undefined : `timeout: ${text} is not between 1s and 6h`;
  } catch {
    return `timeout: ${text} is not a duration such as 10m or 1h30m`;
  }
}

/** Each answer's mistakes. */
export function mistakesOf({ runsOn, template, command, network, timeout, branch }: Answers): string[] {
  const found = [
    runsOn.length === 0 || !runsOn.every((label) => LABEL.test(label))
      ? "runs-on: is not a label, or several with commas between"
      : undefined,
    TEMPLATE.test(template) || (isTemplatePath(template) && !/[\0\n]/.test(template))
      ? undefined
      : `template: ${template} is not a template's name or path`,
    command.trim() === "" || command.length > MAX_COMMAND || command.includes("\0")
      ? `command: is not a text of 1 to ${MAX_COMMAND} characters`
      : undefined,
    ...mistakesIn({ allow: network }).map((mistake) => `network: ${mistake}`),
    tryDuration(timeout),
    BRANCH.test(branch) ? undefined : `branch: ${branch} is not a branch's name`,
  ];
  return found.filter((mistake) => mistake !== undefined);
}

/** What flags and proposal say, unasked. */
export function proposeAnswers(flags: InitFlags, proposal: Proposal, branch: string): Answers {
  return {
    runsOn: (flags.runsOn ?? HOSTED).split(",").map((label) => label.trim()),
    template: flags.template ?? proposal.template,
    command: flags.command ?? proposal.command,
    network: words(flags.network ?? proposal.network),
    timeout: flags.timeout ?? DEFAULT_TIMEOUT,
    branch: flags.branch ?? branch,
  };
}

/** @throws ThawError `usage` with every mistake */
export function checkAnswers(answers: Answers): Answers {
  const mistakes = mistakesOf(answers);
  if (mistakes.length === 0) return answers;
  throw new ThawError("usage", "thaw ci init can't write that", {
    details: mistakes,
    hint: "thaw ci init --help",
  });
}
