import { realpathSync } from "node:fs";
import { findRepository, ThawError } from "../../../client/index.ts";
import { printJson, styleErr, writeErr } from "../../output.ts";
import { judge } from "../check/judge.ts";
import { parseSource } from "../check/source.ts";
import { findAction } from "./action-reference.ts";
import { type Answers, checkAnswers, type InitFlags, proposeAnswers } from "./answers.ts";
import { defaultBranch, detect } from "./detect.ts";
import { showPlan } from "./summary.ts";
import { projectText, workflowText } from "./texts.ts";
import { type Planned, planFiles, writeFiles } from "./write.ts";

const WORKFLOW = ".github/workflows/thaw.yml";
const INTERRUPTED = 130;

/** The answers, by questions where there is a terminal. Undefined when the questioned went away. */
async function findAnswers(proposed: Answers, flags: InitFlags): Promise<Answers | undefined> {
  if (flags.yes === true) return proposed;
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new ThawError("usage", "there is no terminal to ask on", {
      hint: "thaw ci init --yes uses the proposed values; flags change them: thaw ci init --help",
    });
  const { ask, Cancelled } = await import("./ask.ts");
  try {
    return await ask(proposed, flags);
  } catch (error) {
    if (error instanceof Cancelled) return undefined;
    throw error;
  }
}

function refuseOverwrite(planned: readonly Planned[], flags: InitFlags): void {
  const others = planned.filter(({ before, text }) => before !== undefined && before !== text);
  if (others.length === 0 || flags.force === true) return;
  const names = others.map(({ path }) => path).join(" and ");
  const hint = others.every(({ path }) => path !== WORKFLOW)
    ? "--no-project leaves thaw.yaml as it is; --force overwrites it"
    : "--force overwrites";
  throw new ThawError("usage", `${names} would be overwritten; nothing was written`, { hint });
}

/** `thaw ci init`. @returns the exit code. @throws ThawError `usage` */
export async function init(flags: InitFlags): Promise<number> {
  const root = realpathSync(findRepository(realpathSync(".")));
  const action = findAction(flags.action);
  const proposal = detect(root);
  const say = (text: string): void => {
    if (flags.json !== true) writeErr(text);
  };
  if (proposal.from !== undefined) say(`${styleErr("dim", `proposed by ${proposal.from}`)}\n`);
  const found = await findAnswers(checkAnswers(proposeAnswers(flags, proposal, defaultBranch(root))), flags);
  if (found === undefined) {
    say("nothing was written\n");
    return INTERRUPTED;
  }
  const answers = checkAnswers(found);
  const workflow = workflowText(answers, action);
  const planned = planFiles(root, {
    [WORKFLOW]: workflow,
    ...(flags.project ? { "thaw.yaml": projectText(answers) } : {}),
  });
  if (flags.json !== true) for (const file of planned) showPlan(file);
  refuseOverwrite(planned, flags);
  const changed = planned.filter(({ before, text }) => before !== text);
  writeFiles(root, changed);
  const { findings } = judge([{ file: WORKFLOW, path: WORKFLOW, source: parseSource(workflow) }]);
  const note = answers.command === proposal.command ? proposal.note : undefined;
  const warnings = [action.warning, note, ...findings.map(({ message }) => message)].filter(
    (text) => text !== undefined,
  );
  if (flags.json === true)
    printJson({ files: planned.map(({ path }) => path), written: changed.map(({ path }) => path), warnings });
  for (const warning of warnings) say(`${styleErr("yellow", "thaw:")} ${warning}\n`);
  say(
    `written: ${changed.map(({ path }) => path).join(", ") || "nothing, all was there"}\nnext: thaw run test, then commit; thaw ci check after each change\n`,
  );
  return 0;
}
