// The package as it is published: built, packed, checked by publint and by "are the types wrong", held to its
// size, and free of side effects.

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { buildPackage, command, folder } from "./build.ts";

const run = promisify(execFile);

interface Manifest {
  exports: Record<string, { types: string; default: string } | string>;
  dependencies?: object;
}
let manifest: Manifest;

/** What `npm publish` would send. */
interface Tarball {
  data: Uint8Array;
  paths: string[];
}
let tarball: Tarball;

async function pack(): Promise<Tarball> {
  const target = await mkdtemp(join(tmpdir(), "tidings-pack-"));
  try {
    const packing = ["pack", "--json", "--ignore-scripts", "--pack-destination", target];
    const { stdout } = await run("npm", packing, { cwd: folder });
    const [{ filename, files }] = JSON.parse(stdout) as [
      { filename: string; files: { path: string }[] },
    ];
    return {
      data: await readFile(join(target, filename)),
      paths: files.map(({ path }) => path).sort(),
    };
  } finally {
    await rm(target, { recursive: true, force: true });
  }
}

beforeAll(async () => {
  manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  await buildPackage();
  tarball = await pack();
});

test("publint finds nothing", async () => {
  const { messages, pkg } = await publint({ pkgDir: folder, level: "suggestion", pack: false });
  expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([]);
});

test("the types are not wrong, for whoever imports an entry", async () => {
  const checked = await checkPackage(createPackageFromTarballData(tarball.data));
  if (!checked.types) throw new Error("the package has no types at all");
  const { entrypoints, problems } = checked;
  // It is ESM alone: whoever resolves by the rules from before `exports`, or by `require`, is not served.
  const served = ["node16-esm", "bundler"];
  const found = Object.entries(entrypoints).flatMap(([path, { resolutions }]) =>
    Object.values(resolutions)
      .filter(({ resolutionKind }) => served.includes(resolutionKind))
      .map(({ resolutionKind, resolution, visibleProblems = [] }) => ({
        what: `${path} ${resolutionKind}`,
        file: resolution?.fileName.replace(/^.*\/dist\//, ""),
        problems: visibleProblems.map((index) => problems[index]),
      })),
  );
  expect(found).toEqual(
    Object.entries(manifest.exports).flatMap(([path, entry]) =>
      served.map((kind) => ({
        what: `${path} ${kind}`,
        file: typeof entry === "string" ? expect.anything() : entry.types.replace("./dist/", ""),
        problems: [],
      })),
    ),
  );
});

describe("the tarball", () => {
  test("has what is exported, the words about it, and the licences", () => {
    const listed = tarball.paths.filter((path) => !/^dist\/\w+-[\w-]{8}(\.d)?\.[jt]s$/.test(path));
    expect(listed).toEqual([
      "LICENSE-APACHE",
      "LICENSE-MIT",
      "README.md",
      "dist/LICENSE-jose.md",
      "dist/eventsource.d.ts",
      "dist/eventsource.js",
      "dist/index.d.ts",
      "dist/index.js",
      "dist/react.d.ts",
      "dist/react.js",
      "dist/server.d.ts",
      "dist/server.js",
      "package.json",
    ]);
  });

  test.each(["LICENSE-APACHE", "LICENSE-MIT"])("has the project's own %s", async (name) => {
    const [ours, theirs] = [join(folder, name), join(folder, "../..", name)];
    expect(await readFile(ours, "utf8")).toBe(await readFile(theirs, "utf8"));
  });

  test("has the notice of jose, whose code it contains", async () => {
    const notice = await readFile(join(folder, "dist/LICENSE-jose.md"), "utf8");
    expect(notice).toContain("Filip Skokan");
    expect(notice).toContain("Permission is hereby granted");
  });
});

describe("the size", () => {
  test("of each part is within its budget", async () => {
    const sizes = JSON.parse(await command("size-limit", "bin.js", "--json")) as {
      name: string;
      passed: boolean;
      size: number;
    }[];
    expect(sizes.map(({ name }) => name)).toEqual(["parser", "client", "hooks", "sharing"]);
    expect(sizes.filter(({ passed }) => !passed)).toEqual([]);
  });
});

test("installs nothing else", () => {
  expect(manifest.dependencies).toBeUndefined();
});

test("touches no global when it is imported, but for the base class of EventSource", async () => {
  // Everything that a page or Node has beyond the language itself is made to throw when it is read.
  const script = `
    const names = ["fetch", "setTimeout", "clearTimeout", "setInterval", "Date", "document", "window",
      "navigator", "localStorage", "sessionStorage", "AbortController", "Headers", "Event", "MessageEvent"];
    for (const name of names) {
      Object.defineProperty(globalThis, name, { get() { throw new Error("read " + name); }, configurable: true });
    }
    for (const path of process.argv.slice(1)) await import(path);
  `;
  const entries = ["index", "server", "eventsource"].map(
    (name) => pathToFileURL(join(folder, `dist/${name}.js`)).href,
  );
  await run(process.execPath, ["--input-type=module", "--eval", script, ...entries]);
});

// Seconds of the compiler's work each, on a machine that may have other things to do.
test.each([
  ["NodeNext", "NodeNext"],
  ["ESNext", "Bundler"],
])(
  "has types that a strict application can use, with modules by %s",
  { timeout: 120_000 },
  async (module, moduleResolution) => {
    const application = await mkdtemp(join(folder, ".application-"));
    onTestFinished(() => rm(application, { recursive: true, force: true }));
    await writeFile(
      join(application, "index.ts"),
      `import { createEventCache, createTidings, type StandardSchemaV1, type State, withSchemas } from "tidings";
     import { EventSource } from "tidings/eventsource";
     import { useEvent, useRealTimeUpdates } from "tidings/react";
     import { generateSSEToken, Tidings } from "tidings/server";
     type Events = { shipped: { carrier: string }; note: string };
     const client = createTidings<Events>({ url: "https://live.example.com", cache: createEventCache() });
     client.on("shipped", ({ data }) => data.carrier.length);
     // @ts-expect-error: no such type of event
     client.on("shiped", () => undefined);
     // @ts-expect-error: a number has no length
     client.on("note", ({ data }) => data.carrier);
     declare const note: StandardSchemaV1<unknown, string>;
     const validate = withSchemas({ note });
     createTidings({ url: "/", validate }).on("note", ({ data }) => data.length);
     export const useNotes = () =>
       useRealTimeUpdates({ url: "/", validate, eventHandlers: { note: ({ data }) => data.length } });
     export const state: State = client.getSnapshot();
     export const all = [EventSource, useEvent, useRealTimeUpdates, generateSSEToken, Tidings];
    `,
    );
    await writeFile(
      join(application, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          strict: true,
          exactOptionalPropertyTypes: true,
          target: "ES2022",
          lib: ["ES2023", "DOM"],
          types: [],
          noEmit: true,
          // The compiler's own declarations are not ours to check.
          skipDefaultLibCheck: true,
          module,
          moduleResolution,
        },
        include: ["index.ts"],
      }),
    );
    await command("typescript", "bin/tsc", "--project", application);
  },
);

test("names a file for every entry", () => {
  for (const entry of Object.values(manifest.exports)) {
    for (const path of typeof entry === "string" ? [entry] : [entry.types, entry.default]) {
      expect(tarball.paths).toContain(path.slice("./".length));
    }
  }
});
