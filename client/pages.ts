/** A page of a list. */
export interface PageOptions {
  /** How many at most, up to 1000. */
  limit?: number | undefined;
  /** `next` of the page before, which is null on the last one. */
  after?: string | undefined;
}

/** How every list ends. */
export interface ListEnd {
  /** `thaw.events({ since: lastEvent })` goes on from the list without a gap. */
  lastEvent: number;
  next: string | null;
}

export function pageParameters({ limit, after }: PageOptions): Record<string, string | undefined> {
  return { limit: limit?.toString(), after };
}
