/** What a repository's own files say of how it is tested. Nothing of it is run. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** What is proposed, in words that the questions begin with. */
export interface Proposal {
  /** The file that told it; undefined when none did. */
  from?: string;
  template: string;
  command: string;
  /** Rules, with spaces between. */
  network: string;
  /** What the proposal leaves to be wished for. */
  note?: string;
}

const MAX_BYTES = 1_048_576;
const OWN_TEMPLATE =
  "the tools are installed in each run: a template of your own has them at once (docs/TEMPLATES.md)";

function readText(file: string): string {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats?.isFile() === true && stats.size <= MAX_BYTES ? readFileSync(file, "utf8") : "";
}

function readScripts(root: string): Record<string, unknown> {
  try {
    const { scripts } = JSON.parse(readText(join(root, "package.json"))) as { scripts?: unknown };
    return typeof scripts === "object" && scripts !== null ? (scripts as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function ofNode(root: string): Omit<Proposal, "from"> {
  const has = (name: string): boolean => existsSync(join(root, name));
  const install = has("pnpm-lock.yaml")
    ? "npx -y pnpm install --frozen-lockfile"
    : has("yarn.lock")
      ? "npx -y yarn install --frozen-lockfile"
      : has("package-lock.json") || has("npm-shrinkwrap.json")
        ? "npm ci"
        : "npm install";
  const scripts = readScripts(root);
  const test = ["test", "check", "build"].find((name) => Object.hasOwn(scripts, name)) ?? "test";
  return {
    template: "node",
    command: `${install} && npm ${test === "test" ? "test" : `run ${test}`}`,
    network: "@npm",
  };
}

function ofPython(root: string): Omit<Proposal, "from"> {
  const what = existsSync(join(root, "requirements.txt")) ? "-r requirements.txt" : ".";
  return {
    template: "python",
    command: `python3 -m venv /tmp/venv && /tmp/venv/bin/pip install ${what} pytest && /tmp/venv/bin/python -m pytest`,
    network: "@pypi",
  };
}

/** With the distribution's own tools, installed in the sandbox. */
function ofDebian(packages: string, command: string, network: string): Omit<Proposal, "from"> {
  return {
    template: "base",
    command: `apt-get update -qq && apt-get install -y -qq --no-install-recommends ${packages} >/dev/null && ${command}`,
    network: `@debian ${network}`,
    note: OWN_TEMPLATE,
  };
}

const KINDS: Record<string, (root: string) => Omit<Proposal, "from">> = {
  "package.json": ofNode,
  "pyproject.toml": ofPython,
  "requirements.txt": ofPython,
  "setup.py": ofPython,
  "Cargo.toml": () => ofDebian("cargo gcc libc6-dev", "cargo test --locked", "@crates"),
  "go.mod": () => ofDebian("golang-go", "go test ./...", "@go"),
  "pom.xml": () => ofDebian("maven", "mvn -B -q verify", "@maven"),
  Gemfile: () =>
    ofDebian("ruby-bundler ruby-dev make gcc", "bundle install && bundle exec rake test", "@rubygems"),
  Makefile: () => ofDebian("make", "make test", ""),
};

/** A proposal by the first file that tells something; of nothing, what at least runs. */
export function detect(root: string): Proposal {
  const from = Object.keys(KINDS).find((name) => existsSync(join(root, name)));
  const proposal = from === undefined ? undefined : KINDS[from]?.(root);
  if (from === undefined || proposal === undefined)
    return { template: "base", command: "echo no tests yet", network: "" };
  return { from, ...proposal, network: proposal.network.trim() };
}

/** The repository's default branch, as a clone remembers it. */
export function defaultBranch(root: string): string {
  const text = readText(join(root, ".git/refs/remotes/origin/HEAD"));
  return /^ref: refs\/remotes\/origin\/([A-Za-z0-9][\w./-]{0,200})\s*$/.exec(text)?.[1] ?? "main";
}
