// biome-ignore-all lint/a11y/noRedundantRoles: laid out as cards, the elements have lost the roles they had.

// A table that becomes a list of cards where there is no room for columns. Its roles are spelled out, because a
// table that is laid out as anything else loses those it had.

import type { ReactNode } from "react";

export interface Column<Row> {
  readonly name: string;
  readonly cell: (row: Row) => ReactNode;
  readonly number?: boolean;
  /** Names the row, for whoever hears it. */
  readonly header?: boolean;
  /** For buttons: the column's name is not shown. */
  readonly actions?: boolean;
}

export function Table<Row>(props: {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  /** What stands in the place of rows when there are none. */
  empty: string;
}) {
  const { caption, columns, rows, keyOf, empty } = props;
  return (
    <div className="sheet table">
      <table role="table">
        <caption className="unseen">{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map(({ name, number, actions }) => (
              <th
                key={name}
                scope="col"
                role="columnheader"
                className={number ? "number" : undefined}
              >
                {actions ? <span className="unseen">{name}</span> : name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((row) => (
            <tr key={keyOf(row)} role="row">
              {columns.map((column) => (
                <Cell key={column.name} column={column} row={row} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 && <p className="empty">{empty}</p>}
    </div>
  );
}

function Cell<Row>({ column, row }: { column: Column<Row>; row: Row }) {
  const { name, number, header, actions, cell } = column;
  const className = [number && "number", actions && "actions"].filter(Boolean).join(" ");
  const shared = { className, "data-name": actions ? undefined : name };
  if (header) {
    return (
      <th {...shared} scope="row" role="rowheader">
        {cell(row)}
      </th>
    );
  }
  return (
    <td {...shared} role="cell">
      {cell(row)}
    </td>
  );
}
