/** Chooses the kept steps that are removed. Pure. */

export interface KeptStep {
  id: string;
  key: string;
  /** Id of the step with the booted machine that this step is a difference to. null: this step is a booted machine. */
  boot: string | null;
  createdAt: string;
  usedAtMs: number;
  /** The step's files, by inode: steps of a chain share layers of the disk. */
  files: readonly { inode: string; bytes: number }[];
  /** Whether a build uses it now. */
  open: boolean;
}

export interface StepLimits {
  maxBytes: number;
  maxAgeMs: number;
  nowMs: number;
  /** Keys of the steps that built templates need. */
  needed: ReadonlySet<string>;
  /** Steps that no built template needs are removed when they were not used for this long. null: only the limits count. */
  unneededAfterMs: number | null;
}

export interface StepRemoval {
  id: string;
  /** Bytes that are freed once all chosen steps are removed. */
  bytes: number;
  reason: string;
}

/** A booted machine stays as long as a difference to it stays. An open step stays, together with its booted machine. */
export function chooseSteps(all: readonly KeptStep[], limits: StepLimits): StepRemoval[] {
  const reasons = new Map<string, string>();
  const stays = new Set(all.filter(({ open }) => open).flatMap(({ id, boot }) => [id, boot ?? id]));
  const goes = ({ id }: KeptStep, reason: string): void => {
    if (!stays.has(id) && !reasons.has(id)) reasons.set(id, reason);
  };
  const newest = new Map<string, string>();
  for (const { key, id } of all.toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : 1))) newest.set(key, id);
  const ids = new Set(all.map(({ id }) => id));
  for (const step of all) {
    const isNeeded = limits.needed.has(step.key);
    const unusedMs = limits.nowMs - step.usedAtMs;
    if (newest.get(step.key) !== step.id) goes(step, "made again since");
    else if (step.boot !== null && !ids.has(step.boot))
      goes(step, "the machine that it is a difference to is gone");
    else if (unusedMs > limits.maxAgeMs) goes(step, "not used for longer than steps.maxAge");
    else if (!isNeeded && limits.unneededAfterMs !== null && unusedMs > limits.unneededAfterMs)
      goes(step, "no built template needs it");
  }
  const byWorth = all
    .filter(({ id }) => !reasons.has(id))
    .toSorted((a, b) => worth(b, limits) - worth(a, limits) || b.usedAtMs - a.usedAtMs);
  const byId = new Map(all.map((step) => [step.id, step]));
  const counted = new Set<string>();
  let bytes = 0;
  for (const step of byWorth) {
    const boot = step.boot === null ? undefined : byId.get(step.boot);
    const files = [...step.files, ...(boot?.files ?? [])].filter(({ inode }) => !counted.has(inode));
    const more = sum(files);
    if (bytes + more > limits.maxBytes && !stays.has(step.id)) {
      goes(step, "more bytes than steps.maxBytes");
      continue;
    }
    bytes += more;
    for (const { inode } of files) counted.add(inode);
  }
  // A boot goes last, and only when nothing that stays is a difference to it.
  for (const step of all) if (!reasons.has(step.id) && step.boot !== null) reasons.delete(step.boot);
  return withBytes(all, reasons);
}

/** Open steps are worth most, then steps that built templates need. */
function worth({ key, open }: KeptStep, { needed }: StepLimits): number {
  return (open ? 2 : 0) + (needed.has(key) ? 1 : 0);
}

function withBytes(all: readonly KeptStep[], reasons: ReadonlyMap<string, string>): StepRemoval[] {
  const counted = new Set(
    all.filter(({ id }) => !reasons.has(id)).flatMap(({ files }) => files.map(({ inode }) => inode)),
  );
  return all.flatMap(({ id, files }) => {
    const reason = reasons.get(id);
    if (reason === undefined) return [];
    const freed = files.filter(({ inode }) => !counted.has(inode));
    for (const { inode } of freed) counted.add(inode);
    return [{ id, bytes: sum(freed), reason }];
  });
}

/** Bytes of each step, by its id. A file that several steps share is counted with the oldest of them. */
export function bytesOfSteps(all: readonly KeptStep[]): Map<string, number> {
  const counted = new Set<string>();
  const oldestFirst = all.toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
  return new Map(
    oldestFirst.map(({ id, files }) => {
      const own = files.filter(({ inode }) => !counted.has(inode));
      for (const { inode } of own) counted.add(inode);
      return [id, sum(own)];
    }),
  );
}

function sum(files: readonly { bytes: number }[]): number {
  return files.reduce((all, { bytes }) => all + bytes, 0);
}
