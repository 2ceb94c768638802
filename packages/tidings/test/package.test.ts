// The package as it is published: built, checked by publint, held to its size, and free of side effects.

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
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

beforeAll(async () => {
  manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  await buildPackage();
});

test("publint finds nothing", async () => {
  const { messages, pkg } = await publint({ pkgDir: folder, level: "suggestion", pack: false });
  expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([]);
});

describe("the size", () => {
  test("of each part is within its budget", async () => {
    const sizes = JSON.parse(await command("size-limit", "bin.js", "--json")) as {
      name: string;
      passed: boolean;
      size: number;
    }[];
    expect(sizes.map(({ name }) => name)).toEqual(["parser", "client", "hooks"]);
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

test("has types that a strict application can use, under both ways of resolving modules", async () => {
  const application = await mkdtemp(join(folder, ".application-"));
  onTestFinished(() => rm(application, { recursive: true, force: true }));
  await writeFile(
    join(application, "index.ts"),
    `import { createEventCache, createTidings, type State } from "tidings";
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
     export const state: State = client.getSnapshot();
     export const all = [EventSource, useEvent, useRealTimeUpdates, generateSSEToken, Tidings];
    `,
  );
  for (const [module, moduleResolution] of [
    ["NodeNext", "NodeNext"],
    ["ESNext", "Bundler"],
  ]) {
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
          module,
          moduleResolution,
        },
        include: ["index.ts"],
      }),
    );
    await command("typescript", "bin/tsc", "--project", application);
  }
});

test("names a file for every entry", async () => {
  for (const entry of Object.values(manifest.exports)) {
    for (const path of typeof entry === "string" ? [entry] : [entry.types, entry.default]) {
      expect((await readFile(join(folder, path))).length, path).toBeGreaterThan(0);
    }
  }
});
