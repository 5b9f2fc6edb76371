import { Command } from "commander";
import { cleanText } from "../format/clean-text.ts";
import { verbs } from "../verbs.ts";
import { listCopyOperands, listExecs, listNames, type NameKind } from "./names.ts";

const SANDBOX_VERBS = new Set([
  ...["exec", "attach", "shell", "logs", "rm", "pause", "resume", "stop", "start"],
  ...["ps", "inspect", "rename", "kill", "top"],
  ...["extend", "wait", "stats", "events", "ssh-config", "ssh-proxy"],
]);
const ONE_SANDBOX = new Set([
  ...["exec", "attach", "shell", "logs", "ssh-config", "ssh-proxy"],
  ...["ps", "rename", "kill", "top"],
]);

/** Verbs that name commands behind their sandbox: one, or several. */
const execVerbs: Readonly<Record<string, number>> = {
  attach: 1,
  logs: 1,
  wait: 1,
  kill: Number.POSITIVE_INFINITY,
};

/** The sandbox whose commands the argument being completed names, if it names one. */
function findExecsOf(verb: string, named: readonly string[]): string | undefined {
  return named.length <= (execVerbs[verb] ?? 0) ? named[0] : undefined;
}

/** The operands between the verb and the word that is completed: no flags, and no values of flags. */
function findOperands(words: readonly string[], command: Command): string[] {
  const takesValue = (flag: string | undefined): boolean =>
    command.options.some(({ long, short, required }) => required && (flag === long || flag === short));
  return words.slice(1, -1).filter((word, index) => !word.startsWith("-") && !takesValue(words[index]));
}

/** What the argument being completed names; undefined when it is a file, or anything. */
function findKind(words: readonly string[]): NameKind | undefined {
  const before = words.at(-2);
  if (before === "--template") return "template";
  if (before === "--snapshot") return "snapshot";
  const [verb = "", second = ""] = words;
  if (verb === "run" && words.length === 2) return "run";
  if (SANDBOX_VERBS.has(verb))
    return !ONE_SANDBOX.has(verb) || !words.slice(1, -1).some((word) => !word.startsWith("-"))
      ? "sandbox"
      : undefined;
  if ((verb === "freeze" || verb === "fork") && words.length === 2) return "sandbox";
  if ((verb === "replay" || verb === "rerun") && words.length === 2) return "capture";
  if (verb === "capture" && second === "create") return words.length === 3 ? "sandbox" : undefined;
  if (verb === "capture" && second !== "ls" && words.length > 2) return "capture";
  if (verb === "port") return words.length === 2 ? "sandbox" : undefined;
  if (verb === "network") return words.length === 3 ? "sandbox" : undefined;
  if (verb === "template" && second === "build") return "template";
  if (verb === "template" && ["show", "rm"].includes(second)) return "known template";
  if (verb === "context" && ["use", "rm"].includes(second)) return "context";
  if (verb === "snapshot" && ["inspect", "tag", "rm", "verify"].includes(second)) return "snapshot";
  return undefined;
}

/** The command that the words lead to, as far as they do. */
async function findCommand(words: readonly string[]): Promise<Command | undefined> {
  const verb = verbs[words[0] ?? ""];
  if (verb === undefined || words.length < 2) return undefined;
  const command = new Command(words[0]);
  (await verb.load()).define(command, () => {}, words);
  const inner = command.commands.find((candidate) => candidate.name() === words[1]);
  return words.length > 2 ? (inner ?? command) : command;
}

function listFlags(command: Command): string[] {
  const own = command.options.flatMap((option) => [option.long, option.short]).filter((flag) => flag != null);
  return [...own, "--help"];
}

/** Takes `--context NAME` from the words before the verb; names are then asked of that host. */
function takeContext(words: readonly string[]): readonly string[] {
  const [flag, name] = words;
  if (flag !== "--context" || name === undefined || words.length < 3) return words;
  process.env.THAW_CONTEXT = name;
  return words.slice(2);
}

/** Completes the last of the words that follow `thaw`. Never starts a daemon; without one there are no names. */
export async function complete(all: readonly string[]): Promise<string[]> {
  const words = takeContext(all);
  const last = words.at(-1) ?? "";
  if (words.slice(0, -1).includes("--")) return [];
  const matching = (candidates: readonly string[]): string[] =>
    candidates
      .filter((word) => word.startsWith(last))
      .map(cleanText)
      .sort();
  if (words.length === 2 && words[0] === "--context") return matching(await listNames("context"));
  if (words.length <= 1) {
    const shown = Object.entries(verbs).filter(([, verb]) => verb.hidden !== true);
    return matching([...shown.map(([name]) => name), "help", "--help", "--version", "--context"]);
  }
  const command = await findCommand(words);
  if (command === undefined) return [];
  if (last.startsWith("-")) return matching(listFlags(command));
  if (words.length === 2 && command.commands.length > 0)
    return matching(command.commands.map((inner) => inner.name()));
  const before = words.at(-2);
  const option = command.options.find(({ long, short }) => before === long || before === short);
  if (option?.argChoices !== undefined) return matching(option.argChoices);
  if (option?.required === true && before !== "--template" && before !== "--snapshot") return [];
  const choices = command.registeredArguments[0]?.argChoices;
  if (choices !== undefined) return matching(choices);
  const [verb = ""] = words;
  const operands = findOperands(words, command);
  if (verb === "cp") return matching(await listCopyOperands(last, operands));
  const sandbox = findExecsOf(verb, operands);
  if (sandbox !== undefined) return matching(await listExecs(sandbox));
  const kind = findKind(words);
  return kind === undefined ? [] : matching(await listNames(kind));
}
