// Going through a long answer page by page. The server gives the way forward alone, so the way back is remembered.

import { useState } from "react";
import { count } from "../format.ts";

export interface Paging {
  /** Where the present page begins; nothing for the first. */
  readonly after: string | undefined;
  readonly pages: readonly string[];
  next(after: string): void;
  back(): void;
}

/** Another `question` begins at its first page. */
export function usePaging(question: string): Paging {
  const [place, setPlace] = useState<{ question: string; pages: readonly string[] }>();
  const pages = place?.question === question ? place.pages : [];
  return {
    after: pages.at(-1),
    pages,
    next: (after) => setPlace({ question, pages: [...pages, after] }),
    back: () => setPlace({ question, pages: pages.slice(0, -1) }),
  };
}

export function Pages(props: {
  paging: Paging;
  shown: number;
  sizeMax: number;
  total: number;
  next: string | null;
  noun: string;
}) {
  const { paging, shown, sizeMax, total, next, noun } = props;
  const first = paging.pages.length * sizeMax + 1;
  const words =
    shown === 0
      ? `${count(total)} ${noun}`
      : `${count(first)}–${count(first + shown - 1)} of ${count(total)} ${noun}`;
  return (
    <nav className="pages" aria-label="Pages">
      <p>{words}</p>
      <button
        type="button"
        className="small"
        disabled={paging.pages.length === 0}
        onClick={paging.back}
      >
        Back
      </button>
      <button
        type="button"
        className="small"
        disabled={next === null}
        onClick={() => next !== null && paging.next(next)}
      >
        Next
      </button>
    </nav>
  );
}
