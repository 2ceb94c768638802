// Publishing one event by hand. JSON goes out as it is spelled, and is looked at before it does.

import { type FormEvent, useState } from "react";
import { wordsOf } from "../api.ts";
import { useApi } from "../feed.tsx";
import { bodyOf, jsonFault } from "../publish/body.ts";
import { hrefTo } from "../route.ts";
import { Title } from "../title.tsx";

type Outcome = { id: string; durability: string; topic: string } | { error: string };

export function Publish() {
  const api = useApi();
  const [topic, setTopic] = useState("");
  const [type, setType] = useState("");
  const [kind, setKind] = useState<"json" | "text">("json");
  const [data, setData] = useState('{ "hello": "world" }');
  const [busy, setBusy] = useState(false);
  const [outcome, setOutcome] = useState<Outcome>();
  const wrong = kind === "json" ? jsonFault(data) : undefined;

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (busy || wrong) return;
    setBusy(true);
    try {
      const json = bodyOf(topic.trim(), type.trim(), kind, data);
      const answer = await api<{ id: string; durability: string }>("/api/events", {
        method: "POST",
        json,
      });
      setOutcome({ ...answer, topic: topic.trim() });
    } catch (error) {
      setOutcome({ error: wordsOf(error) });
    }
    setBusy(false);
  };

  return (
    <>
      <Title name="Publish" />
      <form className="sheet form" onSubmit={submit}>
        <div className="pair">
          <label>
            Topic
            <input
              className="mono"
              value={topic}
              onChange={(event) => setTopic(event.currentTarget.value)}
              placeholder="orders/42"
              autoComplete="off"
              spellCheck={false}
              required
            />
          </label>
          <label>
            Type
            <input
              className="mono"
              value={type}
              onChange={(event) => setType(event.currentTarget.value)}
              placeholder="message"
              autoComplete="off"
              spellCheck={false}
            />
          </label>
        </div>
        <fieldset className="choice">
          <legend className="unseen">Kind of data</legend>
          {(["json", "text"] as const).map((offered) => (
            <label key={offered}>
              <input
                type="radio"
                name="kind"
                checked={kind === offered}
                onChange={() => setKind(offered)}
              />
              <span>{offered === "json" ? "JSON" : "Text"}</span>
            </label>
          ))}
        </fieldset>
        <label>
          Data
          <textarea
            rows={8}
            value={data}
            onChange={(event) => setData(event.currentTarget.value)}
            onKeyDown={(event) => {
              const sends = event.key === "Enter" && (event.ctrlKey || event.metaKey);
              if (sends) event.currentTarget.form?.requestSubmit();
            }}
            spellCheck={false}
            aria-invalid={wrong !== undefined}
            aria-describedby="data-fault"
          />
        </label>
        <p className="outcome bad" id="data-fault">
          {wrong}
        </p>
        <div className="buttons">
          <button type="submit" className="primary" disabled={busy || wrong !== undefined}>
            Publish
          </button>
          <p className="hint">or Ctrl and Enter in the data</p>
        </div>
      </form>
      <div role="status">
        {outcome && "error" in outcome && <p className="notice bad">{outcome.error}</p>}
        {outcome && "id" in outcome && (
          <p className="notice">
            Published as <code>{outcome.id}</code>, kept in {outcome.durability}.{" "}
            <a href={hrefTo("tail", { topic: outcome.topic })}>Watch this topic</a>
          </p>
        )}
      </div>
    </>
  );
}
