import { Command, CommanderError } from "commander";
import { findOwnVersion } from "../client/index.ts";
import { measurePace, setPace } from "../host/pace.ts";
import { isBare } from "./bare.ts";
import { reportFailure } from "./failure.ts";
import { writeErr, writeOut } from "./output.ts";
import { verbs } from "./verbs.ts";

/** The words from the verb on. */
export function dropGlobalFlags(argv: readonly string[]): readonly string[] {
  const at = argv.findIndex((word, index) => !word.startsWith("-") && argv[index - 1] !== "--context");
  return at < 0 ? [] : argv.slice(at);
}

/** The program with its verbs; only the verb named in `argv` has its flags. */
export async function buildProgram(argv: readonly string[], exit: (code: number) => void): Promise<Command> {
  const program = new Command("thaw")
    .description("Ephemeral microVM sandboxes, thawed from snapshots in milliseconds.")
    .version(findOwnVersion().version, "-V, --version")
    .option("--context <name>", "use this host; give it before the verb; list hosts with: thaw context ls")
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ writeOut, writeErr, outputError: () => {} })
    .addHelpText("after", "\nExample:\n  $ thaw run -- uname -a\n\nHelp for one command: thaw run --help");
  program.hook("preAction", () => {
    const { context } = program.opts<{ context?: string }>();
    if (context !== undefined) process.env.THAW_CONTEXT = context;
  });
  const [asked] = dropGlobalFlags(argv);
  for (const [name, verb] of Object.entries(verbs)) {
    const command = program.command(name, { hidden: verb.hidden ?? false }).description(verb.description);
    if (name === asked || (asked === "help" && argv.includes(name)))
      (await verb.load()).define(command, exit, argv);
  }
  return program;
}

/** Runs the command line. Never throws. @returns the exit code. */
export async function runProgram(argv: readonly string[]): Promise<number> {
  let code = 0;
  setPace(measurePace());
  try {
    const program = await buildProgram(argv, (reported) => {
      code = reported;
    });
    await program.parseAsync([...argv], { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    // help that nobody asked for by name is already on stderr
    if (error instanceof CommanderError && error.code === "commander.help") {
      if (isBare(argv))
        writeErr(
          "\nThe dashboard needs a terminal: thaw. In a pipe: thaw ls, thaw capture ls, with --json.\n",
        );
      return 2;
    }
    return reportFailure(error, argv);
  }
}
