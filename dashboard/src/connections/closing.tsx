// Closing one connection, and revoking a user: what each of them does is said before it is done.

import type { Connection } from "../answers.ts";
import { Refusal } from "../api.ts";
import { useApi } from "../feed.tsx";
import { count, dateTime, plain } from "../format.ts";
import { Confirm } from "../ui/dialog.tsx";

interface Ending {
  close: () => void;
  /** Is told in words what was done. */
  done: (words: string) => void;
}

export function CloseConnection({ connection, close, done }: Ending & { connection: Connection }) {
  const api = useApi();
  const { id, user } = connection;
  const act = async () => {
    try {
      await api(`/api/admin/connections/${encodeURIComponent(id)}`, { method: "DELETE" });
      done(`Connection ${id} was closed.`);
    } catch (error) {
      if (!(error instanceof Refusal && error.status === 404)) throw error;
      done(`Connection ${id} had ended already.`);
    }
  };
  return (
    <Confirm title="Close this connection?" yes="Close it" act={act} close={close}>
      <p>
        The connection <code>{id}</code>
        {user !== null && (
          <>
            {" "}
            of <b className="foreign">{plain(user)}</b>
          </>
        )}{" "}
        ends at once. Its client may come back, and misses nothing that the log still has.
      </p>
    </Confirm>
  );
}

export function RevokeUser({ user, close, done }: Ending & { user: string }) {
  const api = useApi();
  const act = async () => {
    const { closed, until } = await api<{ closed: number; until: number }>("/api/revocations", {
      method: "POST",
      json: JSON.stringify({ user }),
    });
    const streams = closed === 1 ? "1 stream was" : `${count(closed)} streams were`;
    done(`${plain(user)} was revoked: ${streams} closed; remembered until ${dateTime(until)}.`);
  };
  return (
    <Confirm title="Revoke this user?" yes="Revoke" act={act} close={close}>
      <p>
        Every stream of <b className="foreign">{plain(user)}</b> ends at once, and whatever was
        issued to them up to now is refused. Signing in again works.
      </p>
    </Confirm>
  );
}
