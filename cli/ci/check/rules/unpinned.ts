import type { Hit, Rule } from "../finding.ts";
import type { Value } from "../value.ts";
import { parseUses, type Workflow } from "../workflow.ts";

const COMMIT = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/i;
const DIGEST = /@sha256:[0-9a-f]{64}$/;

function* pinned(at: Value | undefined): Generator<Hit> {
  const text = at?.text;
  if (at === undefined || text === undefined || text.startsWith("./")) return;
  if (text.startsWith("docker://")) {
    yield* image(at, text.slice("docker://".length));
    return;
  }
  const { ref } = parseUses(text);
  if (COMMIT.test(ref)) return;
  yield {
    at,
    message: `${text} is what its tag or branch says today: whoever moves it runs code in this job`,
    repair: `name the whole commit and keep the version as a comment: uses: ${text.split("@")[0]}@COMMIT  # ${ref || "VERSION"}`,
  };
}

function* image(at: Value, text: string): Generator<Hit> {
  // an expression, often of a matrix, says nothing here
  if (text === "" || DIGEST.test(text) || text.includes("${{")) return;
  yield {
    at,
    message: `${text} is what its tag says today: whoever pushes to it runs code in this job`,
    repair: `name the digest: ${text.split("@")[0]}@sha256:DIGEST`,
  };
}

export const unpinnedActions: Rule = {
  id: "unpinned-action",
  *find({ jobs }: Workflow): Generator<Hit> {
    for (const job of jobs) {
      yield* pinned(job.uses);
      for (const step of job.steps) yield* pinned(step.uses);
    }
  },
};

export const unpinnedImages: Rule = {
  id: "unpinned-image",
  *find({ root, jobs }: Workflow): Generator<Hit> {
    const own = root.get("runs")?.get("image");
    if (own?.text?.startsWith("docker://") === true) yield* image(own, own.text.slice("docker://".length));
    for (const { value } of jobs) {
      const services = value.get("services")?.entries.map(({ value }) => value) ?? [];
      for (const container of [value.get("container"), ...services]) {
        const at = container?.isMap === true ? container.get("image") : container;
        if (at?.text !== undefined) yield* image(at, at.text);
      }
    }
  },
};
