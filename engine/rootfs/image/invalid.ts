import { EngineError } from "../../errors.ts";

/** An image that breaks its own format: whoever made it is broken or hostile. Paths in `what` go through {@link shown}. */
export function invalidImage(what: string): EngineError {
  return new EngineError("build-failed", `the image is not valid: ${what}`);
}

export function tooLarge(what: string): EngineError {
  return new EngineError("build-failed", `the image is larger than the disk: ${what}`, {
    hint: "set a larger `disk` under `resources:`",
  });
}

/** A path of an image for people. @param path its bytes, as latin1 */
export function shown(path: string): string {
  return JSON.stringify(Buffer.from(path.slice(0, 300), "latin1").toString("utf8")).replace(
    /[\u007f-\u009f]/g,
    "\ufffd",
  );
}
