/** Captures that jobs announced. */
import { z } from "zod";
import { type CaptureNotice, parseCaptureNotice } from "./capture-notice.ts";
import { type GitHub, listPages, type RepositoryName } from "./client.ts";
import type { Job } from "./runs.ts";

const annotation = z.object({
  annotation_level: z.string().max(40).nullable(),
  title: z.string().nullable(),
  message: z.string().nullable(),
});
/** GitHub keeps 50 annotations of a job. */
const pages = 2;

/** What a job's notices say of captures, each once. A job's check run has the job's number. */
export async function listCaptureNotices(
  github: GitHub,
  repository: RepositoryName,
  job: Pick<Job, "id">,
): Promise<CaptureNotice[]> {
  const annotations = listPages({
    ...{ schema: annotation, what: "annotations", pages },
    list: (page) => github.rest.checks.listAnnotations({ ...repository, check_run_id: job.id, ...page }),
  });
  const found = new Map<string, CaptureNotice>();
  for await (const one of annotations) {
    const notice = parseCaptureNotice(one);
    if (notice !== undefined && !found.has(notice.id)) found.set(notice.id, notice);
  }
  return [...found.values()];
}
