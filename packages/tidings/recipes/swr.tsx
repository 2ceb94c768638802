import type { ReactNode } from "react";
import useSWR, { type SWRResponse, useSWRConfig } from "swr";
import { type ClientOptions, TidingsProvider, useEvent } from "tidings/react";

type Order = { id: string; version: number; status: string };

const get = (path: string) => fetch(path).then((response) => response.json());

/** An order: fetched once, then kept by events. */
export function useOrder(id: string): SWRResponse<Order> {
  return useSWR<Order>(`/api/orders/${id}`, get);
}

/** The ids of all orders: fetched again when an event says that they are others. */
export function useOrders(): SWRResponse<string[]> {
  return useSWR<string[]>("/api/orders", get);
}

/** What happened while the page was loaded is told too. After a gap all is fetched before the next event is handled. */
export function Live({ children, ...options }: ClientOptions & { children: ReactNode }): ReactNode {
  const { mutate } = useSWRConfig();
  return (
    <TidingsProvider rewind="30s" onGap={() => mutate(() => true)} {...options}>
      <OrderEvents />
      {children}
    </TidingsProvider>
  );
}

function OrderEvents() {
  const { mutate } = useSWRConfig();
  useEvent<Order>("order.changed", ({ data }) =>
    mutate<Order>(
      `/api/orders/${data.id}`,
      (known) => (known && known.version > data.version ? known : data),
      { revalidate: false },
    ),
  );
  useEvent("orders.imported", () => mutate("/api/orders"));
  return null;
}
