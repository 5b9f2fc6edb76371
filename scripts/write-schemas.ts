/** Writes what is made of tables in the sources: the JSON Schemas in docs/ and action.yml: node scripts/write-schemas.ts */
import { writeFileSync } from "node:fs";
import { actionMetadata } from "../action/metadata.ts";
import { caseJsonSchema } from "../engine/captures/case-file.ts";
import { recipeJsonSchema } from "../engine/templates/recipe.ts";

writeFileSync("docs/case.schema.json", `${JSON.stringify(caseJsonSchema(), null, 2)}\n`);
writeFileSync("docs/template.schema.json", `${JSON.stringify(recipeJsonSchema(), null, 2)}\n`);
writeFileSync("action.yml", actionMetadata());
