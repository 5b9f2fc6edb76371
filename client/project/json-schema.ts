import { z } from "zod";
import { projectSchema } from "./schema.ts";

/** The project file's JSON Schema, for editors. Draft 7 is what they know best. */
export function projectJsonSchema(): object {
  return z.toJSONSchema(
    projectSchema(() => undefined),
    { io: "input", target: "draft-7" },
  );
}
