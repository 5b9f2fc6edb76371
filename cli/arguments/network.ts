import { type Command, InvalidArgumentError, Option } from "commander";
import { defined } from "../../api/defined.ts";
import {
  mistakesIn,
  type NetworkMode,
  type NetworkRequest,
  networkModes,
  warningsIn,
} from "../../client/index.ts";
import { styleErr, writeErr } from "../output.ts";

/** Flags that say what a sandbox may reach. */
export interface NetworkFlags {
  network?: NetworkMode;
  allow?: readonly string[];
  deny?: readonly string[];
}

/** Adds a rule to those given so far. */
function collectRule(text: string, before: readonly string[] = []): readonly string[] {
  const [mistake] = mistakesIn({ allow: [text] });
  if (mistake !== undefined) throw new InvalidArgumentError(mistake);
  return [...before, text];
}

export function addNetworkFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--network <mode>",
        "access to destinations that no rule names: none, open (all but private addresses), audit (as open, and recorded)",
      ).choices([...networkModes]),
    )
    .option(
      "--allow <rule>",
      "allow connections to NAME, *.NAME, an address, a network, host:PORT or @PRESET, optionally followed by :PORTS (may be repeated)",
      collectRule,
    )
    .option(
      "--deny <rule>",
      "deny connections to these destinations, even if another rule allows them (may be repeated)",
      collectRule,
    );
}

/** What the flags say; says what they open beyond what they seem to. */
export function readNetwork({ network, allow, deny }: NetworkFlags): { network?: NetworkRequest } {
  if (network === undefined && allow === undefined && deny === undefined) return {};
  for (const warning of warningsIn({ allow })) writeErr(`${styleErr("yellow", "thaw:")} ${warning}\n`);
  if (network === "open")
    writeErr(
      `${styleErr("yellow", "thaw:")} --network open: every public address can be reached; private ones stay closed\n`,
    );
  const layer = {
    ...defined({ mode: network }),
    ...(allow === undefined ? {} : { allow: [...allow] }),
    ...(deny === undefined ? {} : { deny: [...deny] }),
  };
  return { network: [{ ...layer, from: "command line" }] };
}
