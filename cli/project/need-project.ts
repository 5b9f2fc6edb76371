import { loadProject, type Project, ThawError } from "../../client/index.ts";

/** The project file. @throws ThawError `usage` when there is none, or with its mistakes. */
export async function needProject(file: string | undefined): Promise<Project> {
  const project = await loadProject({ file });
  if (project !== undefined) return project;
  throw new ThawError("usage", "there is no thaw.yaml in this folder or above it in its repository", {
    hint: "thaw project --help shows a minimal thaw.yaml",
  });
}
