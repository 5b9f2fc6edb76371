/** Where the machines of a test file keep their state. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";

export interface Place {
  id: string;
  stateDir: string;
}

/** Makes a place in `dir` at each call. @param prefix of the machines' ids */
export function placesIn(dir: string, prefix: string): () => Place {
  let serial = 0;
  return () => {
    const id = `${prefix}-${process.pid}-${++serial}`;
    const stateDir = join(dir, id);
    mkdirSync(stateDir, { mode: 0o711 });
    return { id, stateDir };
  };
}
