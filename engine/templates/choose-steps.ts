/** Which kept steps go. Pure. */

export interface KeptStep {
  id: string;
  key: string;
  /** The step whose booted machine this is a difference to; null: it is one. */
  boot: string | null;
  createdAt: string;
  usedAtMs: number;
  /** Files that it has, by inode: links of a chain share layers of the disk. */
  files: readonly { inode: string; bytes: number }[];
  /** It is being made something of. */
  open: boolean;
}

export interface StepLimits {
  maxBytes: number;
  maxAgeMs: number;
  nowMs: number;
  /** Keys of the steps of templates that are built. */
  needed: ReadonlySet<string>;
  /** Whether those that no built template needs go too, unless they are as young as this. null: only what is over the limits. */
  unneededAfterMs: number | null;
}

export interface StepRemoval {
  id: string;
  /** Freed, when all that goes is gone. */
  bytes: number;
  reason: string;
}

/** A booted machine stays as long as a difference to it does. What is open stays, and what that is a difference to. */
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

/** Those of built templates are worth more. */
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
