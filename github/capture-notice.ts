/**
 * Where a failed step's capture is, as a notice on its job: the Action writes it (`core.notice(message, { title })`), GitHub keeps it as an
 * annotation of the job's check run, and `thaw open` reads it there. A person sees it on the run's page, so it is a command and lines of `KEY: VALUE`.
 * Any step of a job can write such a notice: what is read is a stranger's.
 */
import { CAPTURE_ID_PATTERN } from "../api/patterns.ts";

/** Title of the notice. */
export const CAPTURE_NOTICE_TITLE = "thaw capture";

export type CapturePlace =
  /** In a registry: `oci:HOST[:PORT]/REPOSITORY:TAG`. */
  | { kind: "store"; reference: string }
  /** On the host that ran the job; `host` is the name it has itself. */
  | { kind: "host"; host: string }
  /** A workflow artifact of the run. */
  | { kind: "artifact"; name: string };

export interface CaptureNotice {
  /** The capture's id. */
  id: string;
  place: CapturePlace;
  /** Name of the step, and how it ended (`exit 1`, `timeout`); one line of any text. */
  step?: string | undefined;
  ending?: string | undefined;
}

const longest = 4096;
const hostPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;
const referencePattern =
  /^oci:[A-Za-z0-9.[\]:-]{1,255}\/[a-z0-9][a-z0-9._/-]{0,254}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$/;
/** GitHub refuses these in an artifact's name, and more; no spaces here. */
const artifactPattern = /^[^\s":<>|*?\\/]{1,255}$/;

function command({ id, place }: CaptureNotice): string {
  if (place.kind === "store") return `thaw replay ${place.reference}`;
  return place.kind === "host" ? `thaw --context ${place.host} replay ${id}` : "thaw open";
}

function oneLine(text: string | undefined): string | undefined {
  const line = text
    ?.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]+/gu, " ")
    .trim()
    .slice(0, 200);
  return line === "" ? undefined : line;
}

/**
 * The notice's title and message.
 * @throws RangeError for an id, reference, host or name that could not be read back
 */
export function formatCaptureNotice(notice: CaptureNotice): { title: string; message: string } {
  const { id, place } = notice;
  const lines: [string, string | undefined][] = [
    ["capture", id],
    ["host", place.kind === "host" ? place.host : undefined],
    ["artifact", place.kind === "artifact" ? place.name : undefined],
    ["step", oneLine(notice.step)],
    ["ended", oneLine(notice.ending)],
  ];
  const told = lines.flatMap(([key, value]) => (value === undefined ? [] : [`${key}: ${value}`]));
  const message = [command(notice), ...told].join("\n");
  if (parseCaptureNotice({ title: CAPTURE_NOTICE_TITLE, message }) === undefined)
    throw new RangeError(
      `a capture can't be announced as ${JSON.stringify(place)} with the id ${id.slice(0, 80)}`,
    );
  return { title: CAPTURE_NOTICE_TITLE, message };
}

function readPlace(first: string, values: ReadonlyMap<string, string>): CapturePlace | undefined {
  const reference = /^thaw replay (\S+)$/.exec(first)?.[1];
  if (reference !== undefined)
    return referencePattern.test(reference) ? { kind: "store", reference } : undefined;
  const host = values.get("host");
  if (host !== undefined) return hostPattern.test(host) ? { kind: "host", host } : undefined;
  const name = values.get("artifact");
  return name !== undefined && artifactPattern.test(name) ? { kind: "artifact", name } : undefined;
}

/** Reads an annotation of a check run; undefined when it is not such a notice. Never throws. */
export function parseCaptureNotice(annotation: {
  title: string | null;
  message: string | null;
}): CaptureNotice | undefined {
  const { title, message } = annotation;
  if (title !== CAPTURE_NOTICE_TITLE || message === null || message.length > longest) return undefined;
  const [first = "", ...lines] = message.split(/\r?\n/);
  const values = new Map<string, string>();
  for (const line of lines) {
    const [, key, value] = /^([a-z]{1,20}): (.{1,300})$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined && !values.has(key)) values.set(key, value);
  }
  const id = values.get("capture") ?? "";
  const place = readPlace(first.trim(), values);
  if (place === undefined || !CAPTURE_ID_PATTERN.test(id)) return undefined;
  return { id, place, step: oneLine(values.get("step")), ending: oneLine(values.get("ended")) };
}
