/** Named groups of destinations. Each says where its names come from. */

export interface Preset {
  name: string;
  rules: readonly string[];
  source: string;
}

export const PRESETS: readonly Preset[] = [
  {
    name: "npm",
    rules: ["registry.npmjs.org"],
    source: "https://docs.npmjs.com/cli/v11/using-npm/registry",
  },
  {
    name: "pypi",
    rules: ["pypi.org", "files.pythonhosted.org"],
    source: "https://docs.pypi.org/api/index-api/",
  },
  {
    name: "debian",
    rules: ["deb.debian.org", "security.debian.org"],
    source: "https://deb.debian.org/ and https://www.debian.org/security/",
  },
  {
    name: "ubuntu",
    rules: ["archive.ubuntu.com", "*.archive.ubuntu.com", "security.ubuntu.com", "ports.ubuntu.com"],
    source: "https://help.ubuntu.com/community/Repositories/CommandLine",
  },
  {
    name: "github",
    rules: [
      "github.com:22,80,443",
      "ssh.github.com:443",
      "api.github.com",
      "codeload.github.com",
      "raw.githubusercontent.com",
      "objects.githubusercontent.com",
      "release-assets.githubusercontent.com",
    ],
    source: "https://docs.github.com/en/actions/reference/runners/self-hosted-runners",
  },
  {
    name: "crates",
    rules: ["crates.io", "index.crates.io", "static.crates.io"],
    source: "https://doc.rust-lang.org/cargo/reference/registry-index.html",
  },
  {
    name: "go",
    rules: ["proxy.golang.org", "sum.golang.org"],
    source: "https://go.dev/ref/mod#environment-variables",
  },
  {
    name: "maven",
    rules: ["repo.maven.apache.org", "repo1.maven.org"],
    source: "https://central.sonatype.org/consume/consume-apache-maven/",
  },
  {
    name: "rubygems",
    rules: ["rubygems.org", "index.rubygems.org"],
    source: "https://guides.rubygems.org/rubygems-org-compact-index-api/",
  },
  {
    name: "docker-hub",
    rules: [
      "registry-1.docker.io",
      "auth.docker.io",
      "production.cloudflare.docker.com",
      "production.cloudfront.docker.com",
      "docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
    ],
    source: "https://docs.docker.com/desktop/setup/allow-list/",
  },
  {
    name: "ghcr",
    rules: ["ghcr.io", "pkg-containers.githubusercontent.com"],
    source:
      "https://docs.github.com/en/packages/working-with-a-github-packages-registry/working-with-the-container-registry",
  },
];

/** Domains below which anybody can have a name: a wildcard for them opens a way out to anybody. */
export const SHARED_DOMAINS: readonly string[] = [
  "akamaihd.net",
  "akamaized.net",
  "amazonaws.com",
  "azureedge.net",
  "azurefd.net",
  "b-cdn.net",
  "blob.core.windows.net",
  "cdn77.org",
  "cloudflare.net",
  "cloudflarestorage.com",
  "cloudfront.net",
  "edgekey.net",
  "edgesuite.net",
  "fastly.net",
  "firebaseapp.com",
  "github.io",
  "googleapis.com",
  "googleusercontent.com",
  "herokuapp.com",
  "netlify.app",
  "ngrok-free.app",
  "ngrok.io",
  "pages.dev",
  "r2.dev",
  "trafficmanager.net",
  "trycloudflare.com",
  "vercel.app",
  "web.app",
  "workers.dev",
];
