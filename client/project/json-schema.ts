/** The project file's JSON Schema, for editors. Draft 7 is what they know best. */
export async function projectJsonSchema(): Promise<object> {
  const [{ z }, { projectSchema }] = await Promise.all([import("zod"), import("./schema.ts")]);
  return z.toJSONSchema(
    projectSchema(() => undefined),
    { io: "input", target: "draft-7" },
  );
}
