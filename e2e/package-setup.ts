// Bundles the page of the tests that run the package in Chromium, as an application's bundler would: from what is
// published, not from its sources.

import { fileURLToPath } from "node:url";
import { build } from "vite";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** The page of `package-page.ts`, with its script in it. */
    packagePage: string;
  }
}

export default async function setup(project: TestProject): Promise<void> {
  project.provide("packagePage", `<!doctype html><script>${await bundle()}</script>`);
}

async function bundle(): Promise<string> {
  const outputs = await build({
    root: fileURLToPath(new URL(".", import.meta.url)),
    configFile: false,
    logLevel: "warn",
    mode: "production",
    define: { "process.env.NODE_ENV": '"production"' },
    // Ours, not the one that lies nearest to the package.
    resolve: { dedupe: ["react", "react-dom"] },
    build: {
      write: false,
      lib: { entry: "package-page.ts", formats: ["iife"], name: "page" },
      // "use client" is for servers; here all is on the client.
      rollupOptions: {
        onwarn: (warning, warn) => warning.code === "MODULE_LEVEL_DIRECTIVE" || warn(warning),
      },
    },
  });
  const [chunk] = [outputs].flat().flatMap((output) => ("output" in output ? output.output : []));
  if (chunk?.type !== "chunk") throw new Error("the page has no script");
  const sources = chunk.moduleIds.filter((id) => id.includes("packages/tidings/src"));
  if (sources.length) throw new Error(`the page is not made of what is published: ${sources}`);
  // The only text that would end the script early.
  return chunk.code.replaceAll("</script", "<\\/script");
}
