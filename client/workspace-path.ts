/** Where a workspace goes in a sandbox; it becomes the command's folder. */
export const workspacePath = "/workspace";
