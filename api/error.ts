import { z } from "zod";
import { errorCodes } from "./error-codes.ts";

export const errorCode = z.enum(errorCodes);
export const apiError = z.object({
  code: errorCode,
  /** What failed, with the value and the limit. */
  message: z.string(),
  /** The next command to type. */
  hint: z.string().optional(),
  /** Several at once, e.g. every mistake of a template. */
  details: z.array(z.string()).optional(),
});
export const errorBody = z.object({ error: apiError });
export type ApiError = z.infer<typeof apiError>;
export type ErrorBody = z.infer<typeof errorBody>;
