// A question that must be answered before something is done that cannot be undone. The browser's own dialog keeps the
// focus inside and gives it back; Escape means no.

import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { wordsOf } from "../api.ts";

export function Confirm(props: {
  title: string;
  children: ReactNode;
  /** What the button says that does it. */
  yes: string;
  act: () => Promise<void>;
  close: () => void;
}) {
  const { title, children, yes, act, close } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const [acting, setActing] = useState(false);
  const [error, setError] = useState<string>();
  const name = useId();
  useEffect(() => dialog.current?.showModal(), []);

  const confirm = async () => {
    setActing(true);
    setError(undefined);
    try {
      await act();
      dialog.current?.close();
    } catch (refused) {
      setError(wordsOf(refused));
      setActing(false);
    }
  };
  return (
    <dialog ref={dialog} className="sheet" aria-labelledby={name} onClose={close}>
      <h2 id={name}>{title}</h2>
      {children}
      <p className="outcome bad" role="alert">
        {error}
      </p>
      <div className="buttons">
        <button type="button" onClick={() => dialog.current?.close()}>
          Cancel
        </button>
        <button type="button" className="danger" disabled={acting} onClick={confirm}>
          {yes}
        </button>
      </div>
    </dialog>
  );
}
