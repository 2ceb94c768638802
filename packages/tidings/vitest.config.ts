import { defineConfig, type ViteUserConfig } from "vitest/config";

// Most of the time of the tests against a real server is waiting, so the files run side by side.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["test/**/*.test.{ts,tsx}"],
    testTimeout: 60_000,
    hookTimeout: 30_000,
    maxWorkers: 3,
  },
});

export default config;
