const NAMES = new Set([
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "LANG",
  "TZ",
  "APT_CONFIG",
  // Where credentials of registries are.
  "DOCKER_CONFIG",
  "REGISTRY_AUTH_FILE",
  "http_proxy",
  "https_proxy",
  "all_proxy",
  "no_proxy",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "ALL_PROXY",
  "NO_PROXY",
]);
const PREFIXES = ["LC_", "XDG_", "THAW_", "SSL_CERT_", "OTEL_EXPORTER_OTLP_"];

/**
 * What of a client's environment the daemon gets. A CI runner kills every process that carries its job's tracking variable, and a
 * daemon for many clients has no use for one client's secrets, so it is an allowlist.
 */
export function pickDaemonEnvironment(env: Record<string, string | undefined>): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    const wanted = NAMES.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix));
    if (wanted && value !== undefined) picked[name] = value;
  }
  return picked;
}
