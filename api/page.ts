/** Pages of lists. */
import { z } from "zod";

/** A page of a list that is sorted by creation. */
export const pageQuery = z.object({
  /** How many at most. Default: all. */
  limit: z.coerce.number().int().min(1).max(1000).optional(),
  /** `next` of the page before. */
  after: z.string().max(200).optional(),
});

/** What every list ends with. */
export const listEnd = {
  /** Id of the last event before the list was read: `GET /v1/events?since=` goes on from there without a gap. */
  lastEvent: z.int(),
  /** What to ask for as `after`; null: this is the last page. */
  next: z.string().nullable(),
};

export type PageQuery = z.input<typeof pageQuery>;
