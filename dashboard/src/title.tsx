// The first line of a part: its name, what is chosen for all of it, and how this page itself is connected.

import type { ReactNode } from "react";
import { Status } from "./status.tsx";

const ID = "title";

export function Title({ name, children }: { name: string; children?: ReactNode }) {
  return (
    <div className="title">
      <h1 id={ID} tabIndex={-1}>
        {name}
      </h1>
      {children}
      <Status />
    </div>
  );
}

/** Where whoever reads by keyboard or ear goes on. */
export function focusTitle(): void {
  document.getElementById(ID)?.focus();
}
