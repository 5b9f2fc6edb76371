import { Option } from "commander";

/** The flag that names the project file. */
export function projectFileOption(): Option {
  return new Option("--file <path>", "the project file (default: the nearest thaw.yaml of the repository)");
}
