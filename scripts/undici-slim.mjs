// What the bundles get for `undici`: its HTTP client alone. All of it costs 60 ms at start.
import { request } from "undici/lib/api/index.js";
import Client from "undici/lib/dispatcher/client.js";
import Dispatcher from "undici/lib/dispatcher/dispatcher.js";

Dispatcher.prototype.request = request;

export { Client };
