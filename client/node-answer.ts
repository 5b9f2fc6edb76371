import type { IncomingMessage } from "node:http";
import { throwAnswer } from "./answer.ts";
import { readJson } from "./read-json.ts";
import { describeOtherVersion } from "./version-headers.ts";

/** @throws as {@link throwAnswer} */
export function throwNodeAnswer(answer: IncomingMessage): Promise<never> {
  const { statusCode: status = 0, headers } = answer;
  const header = (name: string): string | undefined => headers[name]?.toString();
  return throwAnswer({ status, header }, { readJson: () => readJson(answer), describeOtherVersion });
}
