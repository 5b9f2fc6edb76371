/** Every address of the page. */
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from "@tanstack/react-router";
import { Empty, Failed, Loading } from "./parts/states.tsx";
import { Shell } from "./shell/shell.tsx";
import { ahead } from "./state/ahead.ts";
import { parseSearch, stringifySearch } from "./state/search.ts";
import * as failures from "./views/failures/search.ts";
import * as hosts from "./views/hosts/search.ts";
import * as sandboxes from "./views/sandboxes/search.ts";
import * as snapshots from "./views/snapshots/search.ts";
import * as templates from "./views/templates/search.ts";

const root = createRootRoute({
  component: Shell,
  notFoundComponent: () => <Empty>There is no page at this address.</Empty>,
});
const index = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/failures" });
  },
});

const failuresList = createRoute({
  getParentRoute: () => root,
  path: "/failures",
  validateSearch: failures.listSearch,
  component: lazyRouteComponent(
    ahead(() => import("./views/failures/list.tsx")),
    "List",
  ),
});
const failuresDetail = createRoute({
  getParentRoute: () => root,
  path: "/failures/$id",
  validateSearch: failures.detailSearch,
  component: lazyRouteComponent(
    ahead(() => import("./views/failures/detail.tsx")),
    "Detail",
  ),
});
const sandboxesList = createRoute({
  getParentRoute: () => root,
  path: "/sandboxes",
  validateSearch: sandboxes.listSearch,
  component: lazyRouteComponent(
    ahead(() => import("./views/sandboxes/list.tsx")),
    "List",
  ),
});
const sandboxesDetail = createRoute({
  getParentRoute: () => root,
  path: "/sandboxes/$id",
  validateSearch: sandboxes.detailSearch,
  component: lazyRouteComponent(
    ahead(() => import("./views/sandboxes/detail.tsx")),
    "Detail",
  ),
});
const snapshotsList = createRoute({
  getParentRoute: () => root,
  path: "/snapshots",
  validateSearch: snapshots.listSearch,
  component: lazyRouteComponent(
    ahead(() => import("./views/snapshots/list.tsx")),
    "List",
  ),
});
const snapshotsDetail = createRoute({
  getParentRoute: () => root,
  path: "/snapshots/$id",
  validateSearch: snapshots.detailSearch,
  component: lazyRouteComponent(
    ahead(() => import("./views/snapshots/detail.tsx")),
    "Detail",
  ),
});
const templatesList = createRoute({
  getParentRoute: () => root,
  path: "/templates",
  validateSearch: templates.listSearch,
  component: lazyRouteComponent(
    ahead(() => import("./views/templates/list.tsx")),
    "List",
  ),
});
const templatesDetail = createRoute({
  getParentRoute: () => root,
  path: "/templates/$name",
  validateSearch: templates.detailSearch,
  component: lazyRouteComponent(
    ahead(() => import("./views/templates/detail.tsx")),
    "Detail",
  ),
});
const hostsList = createRoute({
  getParentRoute: () => root,
  path: "/hosts",
  validateSearch: hosts.listSearch,
  component: lazyRouteComponent(
    ahead(() => import("./views/hosts/list.tsx")),
    "List",
  ),
});
const hostsDetail = createRoute({
  getParentRoute: () => root,
  path: "/hosts/$name",
  validateSearch: hosts.detailSearch,
  component: lazyRouteComponent(
    ahead(() => import("./views/hosts/detail.tsx")),
    "Detail",
  ),
});

export const router = createRouter({
  routeTree: root.addChildren([
    index,
    ...[failuresList, failuresDetail],
    ...[sandboxesList, sandboxesDetail],
    ...[snapshotsList, snapshotsDetail],
    ...[templatesList, templatesDetail],
    ...[hostsList, hostsDetail],
  ]),
  parseSearch,
  stringifySearch,
  defaultPreload: "intent",
  defaultPendingComponent: () => <Loading what="the view" />,
  defaultErrorComponent: ({ error, reset }) => <Failed error={error} retry={reset} />,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
