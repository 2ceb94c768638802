// Looks into a token: what it says, whether its time has come, and what it would grant. It stays in the page, unless
// one asks the server about it.

import { useState } from "react";
import { wordsOf } from "../api.ts";
import { useApi } from "../feed.tsx";
import { dateTime, fromNow, plain } from "../format.ts";
import { Title } from "../title.tsx";
import { type Decoded, decode } from "../token/decode.ts";
import { grantOf, judge, TIME_CLAIMS } from "../token/judge.ts";

export function Token() {
  const [text, setText] = useState("");
  const decoded = text.trim() ? decode(text) : undefined;
  return (
    <>
      <Title name="Token" />
      <div className="sheet form">
        <label>
          A token
          <textarea
            rows={5}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
            placeholder="eyJ…"
            autoComplete="off"
            spellCheck={false}
            aria-describedby="token-hint"
          />
        </label>
        <p className="hint" id="token-hint">
          It is read here in the page and goes nowhere, unless you ask the server about it.
        </p>
        <p className="outcome bad" role="status">
          {decoded && "fault" in decoded ? decoded.fault : ""}
        </p>
      </div>
      {decoded && !("fault" in decoded) && (
        <>
          <Findings decoded={decoded} />
          <AskServer key={text} token={text.trim().replace(/^Bearer\s+/i, "")} />
          <div className="sheet token-parts">
            <Grants decoded={decoded} />
            <Values title="Claims" values={decoded.claims} />
            <Values title="Header" values={decoded.header} />
          </div>
        </>
      )}
    </>
  );
}

function Findings({ decoded }: { decoded: Decoded }) {
  return (
    <ul className="sheet findings" aria-label="What is to be said of it">
      {judge(decoded, Date.now()).map(({ tone, words }) => (
        <li key={words} data-tone={tone}>
          <span>
            <i aria-hidden="true" />
            {words}
          </span>
        </li>
      ))}
    </ul>
  );
}

function AskServer({ token }: { token: string }) {
  const api = useApi();
  const [answer, setAnswer] = useState<{ good: boolean; words: string }>();
  const ask = async () => {
    try {
      // Reading nothing: it shows the server the token, and says whose it is.
      const { user } = await api<{ user: string | null }>("/api/polling", {
        query: { limit: 1 },
        credential: token,
      });
      setAnswer({ good: true, words: `The server takes it: it is ${plain(user ?? "nobody")}'s.` });
    } catch (error) {
      setAnswer({ good: false, words: wordsOf(error) });
    }
  };
  return (
    <div className="buttons">
      <button type="button" onClick={ask}>
        Ask the server about it
      </button>
      <p className={answer && !answer.good ? "late" : undefined} role="status">
        {answer?.words ?? ""}
      </p>
    </div>
  );
}

function Grants({ decoded: { claims } }: { decoded: Decoded }) {
  const { subscribe, publish, admin } = grantOf(claims);
  return (
    <section>
      <h2>Would grant</h2>
      <dl className="values">
        <dt>subscribe</dt>
        <dd className="foreign mono">{subscribe.map(plain).join("\n") || "nothing"}</dd>
        <dt>publish</dt>
        <dd className="foreign mono">{publish.map(plain).join("\n") || "nothing"}</dd>
        <dt>operators' routes</dt>
        <dd>{admin ? "yes: its role is admin" : "no"}</dd>
      </dl>
    </section>
  );
}

function Values({ title, values }: { title: string; values: Record<string, unknown> }) {
  return (
    <section>
      <h2>{title}</h2>
      <dl className="values">
        {Object.entries(values).map(([name, value]) => (
          <Value key={name} name={name} value={value} />
        ))}
      </dl>
    </section>
  );
}

function Value({ name, value }: { name: string; value: unknown }) {
  const isTime = TIME_CLAIMS.includes(name) && typeof value === "number";
  return (
    <>
      <dt className="foreign">{plain(name)}</dt>
      <dd className="foreign">
        <span className="mono">{plain(JSON.stringify(value))}</span>
        {isTime && (
          <small>
            {dateTime(value * 1000)}, {fromNow(value * 1000, Date.now())}
          </small>
        )}
      </dd>
    </>
  );
}
