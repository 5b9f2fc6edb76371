/** Whether a template is given as a path rather than by name. */
export function isTemplatePath(template: string): boolean {
  return template.includes("/") || template === "." || template === ".." || /\.ya?ml$/.test(template);
}
