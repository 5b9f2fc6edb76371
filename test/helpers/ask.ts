import { once } from "node:events";
import { request } from "node:http";

export interface Asked {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** One request as any program could send it. @param path is sent as it is */
export async function ask(
  base: URL,
  path: string,
  { method = "GET", headers = {}, body }: Asked = {},
): Promise<{ status: number; body: string; headers: Record<string, unknown> }> {
  const { hostname: host, port } = base;
  const asked = request({ host, port, path, method, headers, agent: false });
  asked.end(body);
  const [answer] = await once(asked, "response");
  let text = "";
  for await (const chunk of answer) text += chunk;
  return { status: answer.statusCode, body: text, headers: answer.headers };
}
