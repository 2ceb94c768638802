// Who is connected: a table that can be narrowed, whose streams can be closed one by one, and whose users can be
// turned away.

import { useMemo, useState } from "react";
import type { Connections as Answer, Connection } from "../answers.ts";
import { CloseConnection, RevokeUser } from "../connections/closing.tsx";
import { useApi } from "../feed.tsx";
import { bytes, count, duration, fromNow, plain } from "../format.ts";
import { usePolled } from "../polled.ts";
import { type Route, replaceRoute } from "../route.ts";
import { Title } from "../title.tsx";
import { Pages, usePaging } from "../ui/pages.tsx";
import { type Column, Table } from "../ui/table.tsx";

const EVERY_MS = 2_000;
const PAGE_SIZE = 50;
const METHODS = ["api-key", "token", "session", "user-id"];

type Asked = { what: "close" | "revoke"; connection: Connection };

export function Connections({ route: { query } }: { route: Route }) {
  const api = useApi();
  const { user, topic, address, method } = query;
  const filter = { user, topic, address, method };
  const paging = usePaging(JSON.stringify(filter));
  const question = JSON.stringify([filter, paging.after]);
  const { data, error, loading, refresh } = usePolled(question, EVERY_MS, (signal) =>
    api<Answer>("/api/admin/connections", {
      query: { ...filter, limit: PAGE_SIZE, after: paging.after },
      signal,
    }),
  );
  const [asked, setAsked] = useState<Asked>();
  const [told, setTold] = useState("");
  const columns = useMemo(() => columnsWith(setAsked), []);
  const narrow = (change: Record<string, string>) =>
    replaceRoute("connections", { ...filter, ...change });
  const done = (words: string) => {
    setTold(words);
    refresh();
  };
  const rows = data?.connections ?? [];
  return (
    <>
      <Title name="Connections" />
      <search className="filters">
        <Filter label="User" value={user} set={(value) => narrow({ user: value })} />
        <Filter label="Topic" value={topic} set={(value) => narrow({ topic: value })} />
        <Filter label="Address" value={address} set={(value) => narrow({ address: value })} />
        <label>
          Signed in by
          <select
            value={method ?? ""}
            onChange={(event) => narrow({ method: event.currentTarget.value })}
          >
            <option value="">anything</option>
            {METHODS.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </search>
      <p className={error ? "told bad" : "told"} role="status">
        {error ?? told}
      </p>
      <Table
        caption="Open connections"
        columns={columns}
        rows={rows}
        keyOf={({ id }) => id}
        empty={loading ? "Loading" : "No open connection is like that."}
      />
      <Pages
        paging={paging}
        shown={rows.length}
        sizeMax={PAGE_SIZE}
        total={data?.total ?? 0}
        next={data?.next ?? null}
        noun="open"
      />
      {asked?.what === "close" && (
        <CloseConnection
          connection={asked.connection}
          close={() => setAsked(undefined)}
          done={done}
        />
      )}
      {asked?.what === "revoke" && asked.connection.user !== null && (
        <RevokeUser user={asked.connection.user} close={() => setAsked(undefined)} done={done} />
      )}
    </>
  );
}

function Filter(props: { label: string; value: string | undefined; set: (value: string) => void }) {
  const { label, value = "", set } = props;
  return (
    <label>
      {label}
      <input
        value={value}
        onChange={(event) => set(event.currentTarget.value)}
        placeholder="any"
        autoComplete="off"
        spellCheck={false}
      />
    </label>
  );
}

function columnsWith(ask: (asked: Asked) => void): Column<Connection>[] {
  return [
    {
      name: "User",
      header: true,
      cell: ({ user, id }) => (
        <>
          {user === null ? <em>none</em> : <b className="foreign">{plain(user)}</b>}
          <small className="mono">{id}</small>
        </>
      ),
    },
    {
      name: "Signed in by",
      cell: ({ method, protocol }) => (
        <>
          {plain(method)}
          <small>{plain(protocol)}</small>
        </>
      ),
    },
    {
      name: "Listens to",
      cell: ({ topics, types }) => (
        <>
          <span className="foreign mono">{plain(topics.join(", "))}</span>
          {types && <small className="foreign">only {plain(types.join(", "))}</small>}
        </>
      ),
    },
    { name: "Address", cell: ({ address }) => <span className="mono">{plain(address)}</span> },
    {
      name: "Open for",
      number: true,
      cell: ({ ageSecs, expiresAt }) => (
        <>
          {duration(ageSecs)}
          {expiresAt !== null && <small>ends {fromNow(expiresAt, Date.now())}</small>}
        </>
      ),
    },
    {
      name: "Sent",
      number: true,
      cell: ({ sentEvents, sentBytes }) => (
        <>
          {count(sentEvents)}
          <small>{bytes(sentBytes)}</small>
        </>
      ),
    },
    {
      name: "Behind",
      number: true,
      cell: ({ lagEvents, blocked }) => (
        <span className={blocked || lagEvents > 0 ? "late" : undefined}>
          {lagEvents === 0 ? "no" : count(lagEvents)}
          {blocked && <small>socket full</small>}
        </span>
      ),
    },
    {
      name: "Actions",
      actions: true,
      cell: (connection) => (
        <>
          <button
            type="button"
            className="small"
            aria-label={`Close connection ${connection.id}`}
            onClick={() => ask({ what: "close", connection })}
          >
            Close
          </button>
          <button
            type="button"
            className="small"
            disabled={connection.user === null}
            aria-label={`Revoke user ${plain(connection.user ?? "none")}`}
            onClick={() => ask({ what: "revoke", connection })}
          >
            Revoke user
          </button>
        </>
      ),
    },
  ];
}
