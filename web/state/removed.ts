import { ThawError } from "../../client/errors.ts";

/** @returns what to say of a removal: somebody else, or another tab, may have been first */
export async function removed(removal: Promise<unknown>, words = "was removed"): Promise<string> {
  try {
    await removal;
    return words;
  } catch (error) {
    if (error instanceof ThawError && error.code === "not-found") return "was removed already";
    throw error;
  }
}
