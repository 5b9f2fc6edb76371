/** The case file of a failure: what ran, where from, and how it ended. */

import type { Capture } from "../../../api/capture.ts";
import { describePlace, describeReplay } from "../../../api/describe-failure.ts";
import { formatCapturedEnd } from "../../../api/ending.ts";
import { formatSize } from "../../../api/size.ts";
import { Age } from "../../parts/age.tsx";
import { Facts } from "../../parts/detail.tsx";
import { Output } from "../../parts/output.tsx";
import { Text } from "../../parts/text.tsx";
import { useValue } from "../../state/value.ts";
import { pageOf } from "./actions.tsx";
import { reruns, wilson } from "./rerun.ts";
import { commandOf } from "./rows.ts";

const SHOWN_LINES = 40;

const percent = (share: number): string => `${Math.round(share * 100)} %`;

/** The live bar of a rerun, then its verdict. */
function RerunResult({ id }: { id: string }) {
  const rerun = useValue(reruns).get(id);
  if (rerun === undefined) return null;
  const { done, count, failed, result } = rerun;
  const [low, high] = result?.interval ?? wilson(failed, done);
  return (
    <section className="rerun" aria-label="Rerun">
      <progress value={done} max={count} aria-label={`Runs done: ${done} of ${count}`} />
      <span>
        <strong>
          {failed}/{done}
        </strong>{" "}
        failed of {count} runs
      </span>
      {done > 0 && (
        <span>
          {percent(failed / done)} (95 %: {percent(low)} to {percent(high)})
        </span>
      )}
      {result !== undefined && <strong className={result.verdict}>{result.verdict}</strong>}
    </section>
  );
}

function describeScan({ notes: { scan } }: Capture): string {
  if (scan === null) return "not looked for yet";
  if (scan.findings.length === 0) return "none found";
  return scan.findings.map(({ kind, where, count }) => `${kind} in ${where} ×${count}`).join(", ");
}

function Place({ capture }: { capture: Capture }) {
  const page = pageOf(capture);
  const text = describePlace(capture);
  if (page === undefined) return <Text text={text} />;
  return (
    <a href={page} target="_blank" rel="noreferrer">
      <Text text={text} />
    </a>
  );
}

export function Case({ capture }: { capture: Capture }) {
  const { ci, exec, changedBytes, notes, base, fingerprint, storedBytes, id } = capture;
  const replay = describeReplay(capture);
  const last = exec?.lastLines ?? capture.console;
  const run =
    ci?.runId === undefined
      ? undefined
      : [
          ci.workflow,
          ci.runId,
          `attempt ${ci.attempt ?? "1"}`,
          ci.job && `job ${ci.job}`,
          ci.step && `step ${ci.step}`,
        ]
          .filter(Boolean)
          .join(", ");
  return (
    <>
      <RerunResult id={id} />
      <Facts
        facts={[
          ["Command", <Text key="command" className="mono" text={commandOf(capture, 1000)} />],
          [
            "Ended",
            <Text key="ended" className="bad" text={formatCapturedEnd(capture) ?? capture.trigger} />,
          ],
          [
            "Captured",
            <span key="captured">
              <Age time={capture.createdAt} /> ago on <Text text={capture.host} />
            </span>,
          ],
          ["From CI", <Place key="place" capture={capture} />],
          ["Run", run === undefined ? undefined : <Text key="run" text={run} />],
          ["Commit", ci?.sha === undefined ? undefined : <Text key="sha" className="mono" text={ci.sha} />],
          ["Base", <Text key="base" text={`${base.from} (${capture.isolation})`} />],
          ["Folder", exec?.cwd == null ? undefined : <Text key="cwd" className="mono" text={exec.cwd} />],
          [
            "Replays here",
            <span key="replays" className={replay.tone}>
              {replay.text}
            </span>,
          ],
          [
            "Verify failed",
            notes.verified?.ok === false ? <Text key="verified" text={notes.verified.reason} /> : undefined,
          ],
          [
            "Size",
            `${formatSize(storedBytes)} stored; ${formatSize(changedBytes.memory)} memory, ${formatSize(changedBytes.disk)} disk changed`,
          ],
          ["Pinned", notes.pinned ? "yes: retention does not remove it" : undefined],
          [
            "Secrets",
            <Text
              key="secrets"
              {...((notes.scan?.findings.length ?? 0) > 0 ? { className: "warn" } : {})}
              text={describeScan(capture)}
            />,
          ],
          ["Fingerprint", <code key="fingerprint">{fingerprint}</code>],
        ]}
      />
      <h2>Last lines</h2>
      <Output label="Last lines" lines={last.slice(-SHOWN_LINES)} />
    </>
  );
}
