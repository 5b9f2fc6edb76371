import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { router } from "./router.tsx";
import { applyTheme } from "./shell/theme.tsx";
import { askAgain } from "./state/again.ts";
import { loadAhead } from "./state/ahead.ts";
import { followHost } from "./state/follow.ts";
import { openSession } from "./state/session.ts";

applyTheme();
const element = document.getElementById("page");
if (element === null) throw new Error("the page has no element to draw in");
// What a view asks for by itself, such as a folder's files. The lists come from the events.
const queries = new QueryClient({
  defaultOptions: { queries: { retry: false, refetchOnWindowFocus: false, staleTime: 60_000 } },
});
createRoot(element).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);

askAgain(queries);
await openSession();
loadAhead();
void followHost();
