/** Texts and numbers that several shapes have. */
import { z } from "zod";
import { DURATION_PHRASE, MAX_DURATION_MS, parseDuration } from "./duration.ts";
import {
  DIGEST_PATTERN,
  REQUEST_ID_PATTERN,
  SANDBOX_NAME_PHRASE,
  sandboxNamePattern,
  TAG_PATTERN,
} from "./patterns.ts";
import { parseSize, SIZE_PHRASE } from "./size.ts";

export const sandboxName = z.string().regex(sandboxNamePattern, SANDBOX_NAME_PHRASE);
export const tag = z.string().regex(TAG_PATTERN, "NAME or NAME:VERSION");
/** What names a sandbox, a snapshot or a capture in a request: an id, a name or tag, or a unique prefix of an id. */
export const reference = z.string().min(1).max(200);
export const requestId = z.string().regex(REQUEST_ID_PATTERN, "an id: 1 to 40 of a-z, 0-9 and -");
export const digest = z.string().regex(DIGEST_PATTERN);
export const shortText = z.string().max(1024);
export const envName = z
  .string()
  .regex(/^[^=\0]+$/, "no = and no NUL in a name")
  .max(4096);
/** Words of a command: more than Linux takes. */
export const MAX_WORDS = 250_000;
/** An argument or variable. How long a command may be is said by `tooLong`, with the way round. */
export const argument = z.string().regex(/^[^\0]*$/, "no NUL");
/** At most a year. */
export const lengthMs = z.int().min(1).max(MAX_DURATION_MS);

/** A text that a parser of ours makes a number of, as a schema. Its RangeError becomes the schema's message. */
function parsed(parse: (text: string) => number, phrase: string) {
  return z.string(phrase).transform((text, context) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      context.addIssue({ code: "custom", message: phrase });
      return z.NEVER;
    }
  });
}
/** `90s`, `1.5m`, `1h30m`; milliseconds. */
export const duration = parsed(parseDuration, DURATION_PHRASE);
/** `512M`, `24GiB`; MiB. */
export const size = parsed(parseSize, SIZE_PHRASE);
