import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import {
  defineConfig,
  type TestProjectInlineConfiguration,
  type ViteUserConfig,
} from "vitest/config";

function finder(folder: string): (name: string) => string {
  const { resolve } = createRequire(new URL("package.json", new URL(folder, import.meta.url)));
  return (name) => dirname(resolve(`${name}/package.json`));
}

const ours = finder("./");

/** The hooks' tests with the React that a folder's package depends on, wherever npm has put it. */
function withReact(major: string, folder: string): TestProjectInlineConfiguration {
  const found = finder(folder);
  return {
    extends: true,
    resolve: {
      alias: {
        // Its form as a module, whose imports of React can be replaced.
        "@testing-library/react": `${ours("@testing-library/react")}/dist/@testing-library/react.esm.js`,
        // What this brings to older Reacts, and asks of its own React, the one under test has itself.
        "use-sync-external-store/shim": found("react"),
        "react-dom": found("react-dom"),
        react: found("react"),
        // The recipes import the package by its name.
        "tidings/react": fileURLToPath(new URL("src/react/index.ts", import.meta.url)),
      },
    },
    test: {
      name: `react ${major}`,
      include: ["test/react/*.test.tsx"],
      env: { TIDINGS_TEST_REACT: major },
      server: {
        deps: { inline: [/@testing-library\/react/, /\/swr\//, /@tanstack\/react-query/] },
      },
    },
  };
}

// Most of the time of the tests against a real server is waiting, so the files run side by side.
const config: ViteUserConfig = defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  test: {
    testTimeout: 60_000,
    hookTimeout: 30_000,
    maxWorkers: 3,
    projects: [
      { extends: true, test: { name: "package", include: ["test/*.test.ts"] } },
      withReact("19", "./"),
      withReact("18", "../react-18/"),
    ],
  },
});

export default config;
