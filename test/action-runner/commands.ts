/**
 * Which lines of a step's log a runner takes for commands: actions/runner's ActionCommand.cs and ActionCommandManager.cs. Where .NET's rules
 * depend on the runner's locale, the reading is taken that honours more.
 */

/** Every command that a runner knows (ActionCommandManager.cs). */
export const COMMANDS = [
  "set-env",
  "set-output",
  "save-state",
  "add-mask",
  "add-path",
  "add-matcher",
  "remove-matcher",
  "debug",
  "warning",
  "error",
  "notice",
  "group",
  "endgroup",
  "echo",
  "stop-commands",
] as const;

export interface Command {
  name: string;
  properties: Record<string, string>;
  data: string;
  /** The line as it came. */
  line: string;
  stream: "stdout" | "stderr";
}

const DATA = { "%0D": "\r", "%0A": "\n", "%25": "%" };
const PROPERTY = { "%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%" };
const OLD = { "%3B": ";", "%0D": "\r", "%0A": "\n", "%5D": "]", "%25": "%" };

function replaceEscapes(text: string, mapping: Record<string, string>): string {
  return Object.entries(mapping).reduce((sum, [from, to]) => sum.replaceAll(from, to), text);
}

function readProperties(text: string, separator: string, mapping: Record<string, string>) {
  const pairs = text.split(separator).flatMap((pair): [string, string][] => {
    const at = pair.indexOf("=");
    return at <= 0 || at === pair.length - 1
      ? []
      : [[pair.slice(0, at).toLowerCase(), replaceEscapes(pair.slice(at + 1), mapping)]];
  });
  return Object.fromEntries(pairs);
}

/** Letters that .NET or ICU may take for an ASCII one count as that one. */
const fold = (name: string): string => name.toUpperCase();

type Parsed = Omit<Command, "stream">;

interface Syntax {
  info: string;
  data: string;
  separator: string;
  properties: Record<string, string>;
  dataMapping: Record<string, string>;
}

/** `::name key=value,key=value::data`, after white space. */
function readNew(line: string): Syntax | undefined {
  const text = line.replace(/^[\s\u0085]+/, "");
  const end = text.startsWith("::") ? text.indexOf("::", 2) : -1;
  if (end < 0) return undefined;
  return {
    info: text.slice(2, end),
    data: text.slice(end + 2),
    separator: ",",
    properties: PROPERTY,
    dataMapping: DATA,
  };
}

/** `##[name key=value;key=value]data`, anywhere in the line. */
function readOld(line: string): Syntax | undefined {
  const start = line.indexOf("##[");
  const end = start < 0 ? -1 : line.indexOf("]", start);
  if (end < 0) return undefined;
  return {
    info: line.slice(start + 3, end),
    data: line.slice(end + 1),
    separator: ";",
    properties: OLD,
    dataMapping: OLD,
  };
}

/** @returns the command that a line is, by either syntax; undefined for text */
export function parseCommand(line: string, isKnown: (name: string) => boolean): Parsed | undefined {
  for (const syntax of [readNew(line), readOld(line)]) {
    if (syntax === undefined) continue;
    const { info, data, separator, properties, dataMapping } = syntax;
    const [name = "", ...rest] = info.split(" ");
    if (!isKnown(name)) continue;
    return {
      name: name.toLowerCase(),
      properties: readProperties(rest.join(" ").trim(), separator, properties),
      data: replaceEscapes(data, dataMapping),
      line,
    };
  }
  return undefined;
}

/** The commands of one step: both streams share the state of `stop-commands`. */
export class CommandManager {
  readonly honoured: Command[] = [];
  /** Commands that only the fence held back: a line of the other stream that is handled earlier would have been honoured. */
  readonly fenced: Command[] = [];
  readonly #known = new Set<string>(COMMANDS.map(fold));
  #token: string | undefined;

  /** @returns whether the runner would have taken the line for a command */
  process(line: string, stream: Command["stream"]): boolean {
    if (!line.includes("::") && !line.includes("##[")) return false;
    const parsed = parseCommand(line, (name) => this.#known.has(fold(name)));
    if (parsed === undefined) return false;
    const command = { ...parsed, stream };
    if (this.#token !== undefined && fold(command.name) === fold(this.#token)) {
      this.#known.delete(fold(this.#token));
      this.#token = undefined;
      return true;
    }
    if (this.#token !== undefined) {
      this.fenced.push(command);
      return false;
    }
    this.honoured.push(command);
    if (command.name === "stop-commands") this.#stop(command.data);
    return true;
  }

  /** Whether a fence is up. */
  get stopped(): boolean {
    return this.#token !== undefined;
  }

  #stop(token: string): void {
    // A runner refuses such a token and fails the step.
    if (token === "" || this.#known.has(fold(token)) || fold(token) === "PAUSE-LOGGING") return;
    this.#token = token;
    this.#known.add(fold(token));
  }
}
