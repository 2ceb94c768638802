import { defineConfig, type UserConfig } from "tsdown";

const config: UserConfig = defineConfig({
  entry: {
    index: "src/index.ts",
    react: "src/react/index.ts",
    server: "src/server/index.ts",
    eventsource: "src/eventsource.ts",
  },
  platform: "neutral",
  target: "es2022",
  dts: true,
  // Bundled, so that whoever installs the package installs nothing else. Any other is a mistake.
  deps: { onlyBundle: ["jose"] },
  fixedExtension: false,
});

export default config;
