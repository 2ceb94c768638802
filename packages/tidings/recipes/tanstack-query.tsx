import { type UseQueryResult, useQuery, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { type ClientOptions, TidingsProvider, useEvent } from "tidings/react";

type Order = { id: string; version: number; status: string };

const get = (path: string) => fetch(path).then((response) => response.json());
/** An answer may be older than an event that came while it was on its way, and the other way round. */
const newer = (known: Order | undefined, come: Order) =>
  known && known.version > come.version ? known : come;

/** An order: fetched once, then kept by events. */
export function useOrder(id: string): UseQueryResult<Order> {
  const queries = useQueryClient();
  const queryKey = ["order", id];
  return useQuery({
    queryKey,
    queryFn: async () => {
      const come = await get(`/api/orders/${id}`);
      return newer(queries.getQueryData(queryKey), come);
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** The ids of all orders: fetched again when an event says that they are others. */
export function useOrders(): UseQueryResult<string[]> {
  return useQuery({
    queryKey: ["orders"],
    queryFn: () => get("/api/orders"),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** What happened while the page was loaded is told too. After a gap all is fetched before the next event is handled. */
export function Live({ children, ...options }: ClientOptions & { children: ReactNode }): ReactNode {
  const queries = useQueryClient();
  return (
    <TidingsProvider rewind="30s" onGap={() => queries.invalidateQueries()} {...options}>
      <OrderEvents />
      {children}
    </TidingsProvider>
  );
}

function OrderEvents() {
  const queries = useQueryClient();
  useEvent<Order>(
    "order.changed",
    ({ data }) =>
      void queries.setQueryData<Order>(["order", data.id], (known) => newer(known, data)),
  );
  useEvent("orders.imported", () => queries.invalidateQueries({ queryKey: ["orders"] }));
  return null;
}
