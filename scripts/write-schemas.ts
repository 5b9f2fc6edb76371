/** Writes the JSON Schemas that are kept in docs/ for readers of case files: node scripts/write-schemas.ts */
import { writeFileSync } from "node:fs";
import { caseJsonSchema } from "../engine/captures/case-file.ts";

writeFileSync("docs/case.schema.json", `${JSON.stringify(caseJsonSchema(), null, 2)}\n`);
