/** Lengths of time and sizes as people write them in files. */
import { z } from "zod";

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const UNIT_MIB: Readonly<Record<string, number>> = { M: 1, G: 1024, T: 1_048_576 };
export const MAX_DURATION_MS = 31_536_000_000;

/** `90s`, `10m`, `1h30m`, `2d`; ms. */
export const duration = z
  .string()
  .regex(/^(\d+[smhd])+$/, "a length of time such as 90s, 10m, 1h30m or 2d")
  .transform((text) =>
    [...text.matchAll(/(\d+)([smhd])/g)].reduce(
      (sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit ?? ""] ?? 0),
      0,
    ),
  )
  .refine((ms) => ms >= 1000 && ms <= MAX_DURATION_MS, "between 1s and 365d");

/** `512M`, `24G`; MiB. */
export const size = z
  .string()
  .regex(/^\d+ ?[MGT](iB)?$/, "a size such as 512M or 24G")
  .transform((text) => Number.parseInt(text, 10) * (UNIT_MIB[text.replace(/[\d iB]/g, "")] ?? 1));
