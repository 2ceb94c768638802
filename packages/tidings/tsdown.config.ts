import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { defineConfig, type UserConfig } from "tsdown";

const jose = dirname(createRequire(import.meta.url).resolve("jose/package.json"));

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
  // Its licence asks that the notice goes wherever its code goes.
  copy: { from: join(jose, "LICENSE.md"), rename: "LICENSE-jose.md" },
  fixedExtension: false,
});

export default config;
