import { defineConfig } from "vitest/config";

// A client told to reconnect waits 2 to 4 seconds, and one test does so several times; the files run side
// by side because most of their time is such waiting.
export default defineConfig({
  test: {
    globalSetup: ["build-package.ts"],
    testTimeout: 60_000,
    hookTimeout: 30_000,
    maxWorkers: 4,
    projects: [
      {
        extends: true,
        test: { name: "e2e", include: ["*.test.ts"], exclude: ["package-*.test.ts"] },
      },
      {
        extends: true,
        test: {
          name: "package",
          include: ["package-*.test.ts"],
          globalSetup: ["package-setup.ts"],
        },
      },
    ],
  },
});
