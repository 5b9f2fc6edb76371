import { hostname, userInfo } from "node:os";

/** What we are called towards others on the same exec: `ann@laptop, pid 4242`. */
export function nameOurselves(): string {
  let user = "somebody";
  try {
    user = userInfo().username;
  } catch {
    // a uid without an account
  }
  return `${user}@${hostname()}, pid ${process.pid}`.slice(0, 128);
}
