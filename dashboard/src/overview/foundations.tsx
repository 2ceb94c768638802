// What the server stands on: whether it is ready, and its log, broker and process, in a row of short facts.

import type { Readiness, Sample } from "../answers.ts";
import { useApi } from "../feed.tsx";
import { bytes, count, duration, NOTHING, plain } from "../format.ts";
import { usePolled } from "../polled.ts";

const READY_EVERY_MS = 5_000;

export function Foundations({ newest }: { newest: Sample | undefined }) {
  const api = useApi();
  const ready = usePolled("readiness", READY_EVERY_MS, (signal) =>
    api<Readiness>("/readyz", { signal, alsoGood: [503] }),
  );
  const isReady = ready.data?.status === "ready" && !ready.error;
  const facts: [string, string, string?][] = [
    ["Log", newest ? `${count(newest.log.events)} events` : NOTHING],
    ["Log size", bytes(newest?.log.bytes)],
    ["Topics", count(newest?.log.topics)],
    ["Oldest event", newest ? age(newest) : NOTHING],
    ["Broker", newest ? `${plain(newest.broker.kind)}, ${plain(newest.broker.status)}` : NOTHING],
    ["Memory", bytes(newest?.process.residentBytes)],
    ["Processor", newest ? `${newest.process.cpuPercent.toFixed(0)} %` : NOTHING],
  ];
  return (
    <section className="sheet facts" aria-label="Server">
      <dl>
        <div data-tone={ready.data || ready.error ? (isReady ? "good" : "bad") : "wait"}>
          <dt>Server</dt>
          <dd>
            <i aria-hidden="true" />
            {ready.error ?? (ready.data ? readiness(ready.data) : NOTHING)}
          </dd>
        </div>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function age({ log }: Sample): string {
  return log.events === 0 ? NOTHING : duration(log.oldestAgeSecs);
}

/** `ready`, or which of its checks failed. */
function readiness({ status, checks = {} }: Readiness): string {
  if (status === "ready") return "ready";
  const failed = Object.entries(checks)
    .filter(([, result]) => !isGood(result))
    .map(([name]) => name);
  return failed.length ? `not ready: ${failed.join(", ")}` : "not ready";
}

function isGood(result: unknown): boolean {
  if (Array.isArray(result)) return result.every(isGood);
  const word = typeof result === "object" && result ? Object(result).status : result;
  return word === "ok" || word === "ready" || word === true;
}
