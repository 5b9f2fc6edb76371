/** The questions. Each has the flag's or the proposal's answer filled in; one that a flag answered is not asked. */
import { isCancel, select, text } from "@clack/prompts";
import { type Answers, type InitFlags, mistakesOf, SELF_HOSTED } from "./answers.ts";

/** The questioned went away: Ctrl-C, Escape, or an end of input. */
export class Cancelled extends Error {}

async function answered<T>(question: Promise<T>): Promise<Exclude<T, symbol>> {
  const answer = await question;
  if (isCancel(answer)) throw new Cancelled();
  return answer as Exclude<T, symbol>;
}

/** A line of text, checked as the whole is. */
async function line(
  message: string,
  initialValue: string,
  toAnswers: (line: string) => Answers,
): Promise<string> {
  const validate = (given: string | undefined) => mistakesOf(toAnswers(given ?? ""))[0];
  return (await answered(text({ message, initialValue, validate, output: process.stderr }))) ?? "";
}

/** @throws Cancelled */
export async function ask(proposed: Answers, flags: InitFlags): Promise<Answers> {
  let answers = proposed;
  const split = (given: string): string[] => given.split(/[\s,]+/).filter((word) => word !== "");
  if (flags.runsOn === undefined) {
    const where = await answered(
      select({
        message: "Where does it run?",
        options: [
          { value: "hosted", label: `GitHub's runners (${proposed.runsOn.join(", ")})` },
          {
            value: "own",
            label: "runners of your own",
            hint: "read docs/RUNNER-HOST.md first",
          },
        ],
        output: process.stderr,
      }),
    );
    if (where === "own") {
      const toAnswers = (given: string) => ({
        ...answers,
        runsOn: given.split(",").map((label) => label.trim()),
      });
      answers = toAnswers(await line("Their labels, with commas between", SELF_HOSTED, toAnswers));
    }
  }
  if (flags.template === undefined) {
    const toAnswers = (template: string) => ({ ...answers, template });
    answers = toAnswers(
      await line(
        "Template (base, node, python, go, rust, java, docker, or one of your own)",
        answers.template,
        toAnswers,
      ),
    );
  }
  if (flags.command === undefined) {
    const toAnswers = (command: string) => ({ ...answers, command });
    answers = toAnswers(await line("Command", answers.command, toAnswers));
  }
  if (flags.network === undefined) {
    const toAnswers = (given: string) => ({ ...answers, network: split(given) });
    const message = "What it may reach: names or presets such as @npm; empty for nothing";
    answers = toAnswers(await line(message, answers.network.join(" "), toAnswers));
  }
  if (flags.timeout === undefined) {
    const toAnswers = (timeout: string) => ({ ...answers, timeout });
    answers = toAnswers(await line("Ended after", answers.timeout, toAnswers));
  }
  return answers;
}
