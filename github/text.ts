import { z } from "zod";

const longest = 1024;

/** A stranger's text, cut. Not escaped: whoever shows it does that. */
export const foreignText = z
  .string()
  .transform((text) => (text.length > longest ? text.slice(0, longest) : text));
export const foreignId = z.int().positive();
export const webUrl = z.string().max(2000);
