/** A sandbox as seen by what freezes, forks and captures it. */
import type { GuestReport } from "../../api/guest.ts";
import type {
  Difference,
  DifferenceOptions,
  Isolation,
  LiveFreeze,
  LiveFreezeSpec,
} from "../../runners/runner.ts";
import type { Exec } from "../execs/exec.ts";
import type { NetworkLog } from "../network/log.ts";
import type { SandboxRecord } from "./record.ts";

export interface Subject {
  readonly id: string;
  readonly record: SandboxRecord;
  readonly dir: string;
  readonly isolation: Isolation;
  /** What it reached, and what it was kept from. */
  readonly network: { readonly log: Pick<NetworkLog, "summary"> };
  readonly execs: ReadonlyMap<string, Exec>;
  /** Called with the fingerprint of a failure before its capture is kept; throws when one like it is kept already. */
  rejectDuplicate: ((fingerprint: string) => void) | null;
  /** A text without the secret values that the sandbox was told. */
  hide(text: string): string;
  /** Processes and listeners, as the guest tells them; nothing when it does not in time. */
  inspectGuest(): Promise<GuestReport>;
  /** Has the guest write its files out. @returns whether it said in time that all that was written before the call is on its disk */
  syncGuest(): Promise<boolean>;
  /** Throws `conflict` when the sandbox is not in a state to be frozen or forked. */
  allowLive(verb: "freeze" | "fork"): void;
  /** Makes a snapshot's files of the machine, which goes on. */
  freezeLive(spec: LiveFreezeSpec, signal?: AbortSignal): Promise<LiveFreeze>;
  /** Writes how the machine differs from its snapshot; it goes on. */
  takeDifference(dir: string, options?: DifferenceOptions): Promise<Difference>;
  /** Why a difference of its machine could not be thawed here; null when it could. */
  whyNoDifference(): Promise<string | null>;
  /** The last lines of the guest's console. Untrusted. */
  consoleLines(): Promise<string[]>;
}
