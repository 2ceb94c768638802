// @vitest-environment happy-dom

// The recipes of the README, as they stand there: with the real SWR and TanStack Query, the real server, and an
// application whose orders are fetched over HTTP.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, waitFor } from "@testing-library/react";
import { type ReactNode, useState } from "react";
import { SWRConfig } from "swr";
import { describe, expect, onTestFinished, test } from "vitest";
import * as swr from "../../recipes/swr.tsx";
import * as tanstackQuery from "../../recipes/tanstack-query.tsx";
import { startServer, tokenFor } from "../server.ts";
import "./hooks.ts";

declare global {
  interface Window {
    happyDOM: { setURL(url: string): void };
  }
}

const eventually = { timeout: 20_000, interval: 10 };

interface Order {
  id: string;
  version: number;
  status: string;
}

/** The application: its orders, and who asked for which. The page is one of its own. */
async function startShop(...orders: Order[]) {
  const stored = new Map(orders.map((order) => [order.id, order]));
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    asked.push(path);
    const id = path.split("/")[3];
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(id ? stored.get(id) : [...stored.keys()]));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  window.happyDOM.setURL(`${origin}/`);
  return { origin, asked, store: (order: Order) => void stored.set(order.id, order) };
}

function SwrApp({ children }: { children: ReactNode }) {
  const [value] = useState(() => ({ provider: () => new Map() }));
  return <SWRConfig value={value}>{children}</SWRConfig>;
}

function QueryApp({ children }: { children: ReactNode }) {
  const [client] = useState(() => new QueryClient());
  return <QueryClientProvider client={client}>{children}</QueryClientProvider>;
}

type Recipe = Pick<typeof swr, "Live"> & {
  useOrder(id: string): { data: Order | undefined };
  useOrders(): { data: string[] | undefined };
};

function Page({ recipe: { useOrder, useOrders } }: { recipe: Recipe }) {
  const order = useOrder("1").data;
  return `${order?.version} ${order?.status}, of ${useOrders().data}`;
}

const recipes: [name: string, file: string, recipe: Recipe, App: typeof SwrApp][] = [
  ["SWR", "swr.tsx", swr, SwrApp],
  ["TanStack Query", "tanstack-query.tsx", tanstackQuery, QueryApp],
];

describe.each(recipes)("the recipe for %s", (_, file, recipe, App) => {
  /** The page of the application, and its hub. */
  async function open(...orders: Order[]) {
    const shop = await startShop(...orders);
    const settings = { TIDINGS_CORS__ORIGINS: JSON.stringify([shop.origin]) };
    const hub = await startServer(0, settings);
    const { container } = render(
      <App>
        <recipe.Live
          url={hub.url}
          topics={["orders/*"]}
          token={() => tokenFor("ada", ["orders/*"])}
        >
          <Page recipe={recipe} />
        </recipe.Live>
      </App>,
    );
    const shows = (text: string) =>
      waitFor(() => expect(container.textContent).toBe(text), eventually);
    return { shop, hub, settings, shows };
  }

  const changed = (version: number, status: string) => ({
    topic: "orders/1",
    type: "order.changed",
    data: { id: "1", version, status },
  });

  test("stands in the README as it is tested", async () => {
    const read = (path: string) => readFile(fileURLToPath(new URL(path, import.meta.url)), "utf8");
    const code = await read(`../../recipes/${file}`);
    const stands = (await read("../../README.md")).includes(`\`\`\`tsx\n${code}\`\`\`\n`);
    expect(stands, `README.md has another text than recipes/${file}`).toBe(true);
  });

  test("shows what an event says without fetching it, and fetches where it says only that", async () => {
    const { shop, hub, shows } = await open({ id: "1", version: 1, status: "new" });
    await shows("1 new, of 1");
    await hub.publish(changed(2, "paid"), changed(3, "shipped"));
    await shows("3 shipped, of 1");
    // Later than what is shown: of an event that was told again, say.
    await hub.publish(changed(2, "paid"));
    shop.store({ id: "2", version: 1, status: "new" });
    await hub.publish({ topic: "orders/2", type: "orders.imported", data: null });
    await shows("3 shipped, of 1,2");
    expect(shop.asked.sort()).toEqual(["/api/orders", "/api/orders", "/api/orders/1"]);
  });

  test("fetches everything after a gap", async () => {
    const { shop, hub, settings, shows } = await open({ id: "1", version: 1, status: "new" });
    await hub.publish(changed(2, "paid"));
    await shows("2 paid, of 1");
    await hub.kill();
    shop.store({ id: "1", version: 5, status: "sent back" });
    shop.store({ id: "3", version: 1, status: "new" });
    const again = await startServer(hub.port, settings);
    await shows("5 sent back, of 1,3");
    await again.publish(changed(6, "refunded"));
    await shows("6 refunded, of 1,3");
  });
});
