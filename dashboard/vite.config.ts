// How the page is built: React's names mean Preact, `tidings` means its source beside us, and the result has
// relative addresses, so that it works below any base path.

import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const server = process.env.TIDINGS_URL ?? "http://127.0.0.1:4000";

export default defineConfig(({ command }) => ({
  root: here("."),
  base: command === "build" ? "./" : "/admin/",
  resolve: {
    // The package lies elsewhere, and would find the Preact of somebody else.
    dedupe: ["preact"],
    alias: [
      { find: /^react\/jsx-(dev-)?runtime$/, replacement: "preact/jsx-runtime" },
      { find: /^react(-dom)?$/, replacement: "preact/compat" },
      { find: /^react-dom\/client$/, replacement: "preact/compat/client" },
      { find: /^tidings\/react$/, replacement: here("../packages/tidings/src/react/index.ts") },
      { find: /^tidings$/, replacement: here("../packages/tidings/src/index.ts") },
    ],
  },
  build: {
    target: "es2022",
    // Nothing inline: the page's policy lets no script or style run that is not a file of ours.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Of what is built in; the page links to it.
    license: { fileName: "assets/licences.txt" },
    rolldownOptions: {
      // The package's hooks say "use client" to frameworks that render on a server; here it says nothing.
      checks: { moduleLevelDirective: false },
    },
  },
  server: { proxy: { "/api": server, "/readyz": server } },
  test: { include: ["test/**/*.test.ts"] },
}));
