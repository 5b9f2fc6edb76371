import { InvalidArgumentError } from "commander";

/** A run that was named by number or address. */
export interface NamedRun {
  id: number;
  attempt?: number;
  /** A job's number. */
  job?: number;
  /** `HOST/OWNER/NAME`, from an address. */
  repository?: string;
}

const address =
  /^https?:\/\/([A-Za-z0-9.:-]+\/[^/\s]+\/[^/\s]+)\/actions\/runs\/(\d{1,15})(?:\/attempts\/(\d{1,4}))?(?:\/jobs?\/(\d{1,15}))?\/?(?:[?#].*)?$/;

/** `8812`, or `https://github.com/acme/shop/actions/runs/8812[/attempts/2][/job/17]`. */
export function parseRun(text: string): NamedRun {
  if (/^[1-9]\d{0,14}$/.test(text)) return { id: Number(text) };
  const [, repository, id, attempt, job] = address.exec(text) ?? [];
  if (repository === undefined || Number(id) === 0)
    throw new InvalidArgumentError("a run's number, or https://github.com/OWNER/NAME/actions/runs/NUMBER.");
  return {
    ...{ repository, id: Number(id) },
    ...(attempt === undefined ? {} : { attempt: Number(attempt) }),
    ...(job === undefined ? {} : { job: Number(job) }),
  };
}
