// What the operators' routes answer, as the protocol describes it. Types and nothing else.

/** What the server measured in one interval: an element of `/api/admin/stats`, and an event of `$tidings/stats`. */
export interface Sample {
  /** Which server. Several that share a log publish to the same topic. */
  node: string;
  timestamp: number;
  connections: { active: number; peak: number; total: number };
  events: {
    published: number;
    delivered: number;
    publishedPerSec: number;
    deliveredPerSec: number;
  };
  fanOutMs: Percentiles;
  publishToSocketMs: Percentiles;
  errors: { total: number; perSec: number };
  gaps: { total: number; perSec: number };
  log: { events: number; bytes: number; topics: number; oldestAgeSecs: number };
  broker: { kind: string; status: string };
  process: { residentBytes: number; cpuPercent: number };
}

/** Of one interval; `null` when nothing happened in it. */
export interface Percentiles {
  p50: number | null;
  p99: number | null;
}

export interface Stats {
  node: string;
  everySecs: number;
  samples: Sample[];
}

export interface Metrics {
  /** As ISO 8601 writes it. */
  timestamp: string;
  metrics: {
    connections: { byUser: Counts; byTransport: Counts; byMethod: Counts };
    events: { byType: Counts; byUser: Counts };
    errors: { total: number; byType: Counts };
  };
}

export type Counts = Record<string, number>;

export interface Connection {
  id: string;
  user: string | null;
  method: string;
  transport: string;
  protocol: string;
  topics: string[];
  types: string[] | null;
  address: string;
  connectedAt: number;
  ageSecs: number;
  lagEvents: number;
  sentEvents: number;
  sentBytes: number;
  blocked: boolean;
  expiresAt: number | null;
}

export interface Connections {
  connections: Connection[];
  total: number;
  next: string | null;
}

export interface Topic {
  topic: string;
  events: number;
  bytes: number;
  listeners: number;
  eventsPerSec: number;
  newestAt: number | null;
  oldestAt: number | null;
}

export interface Topics {
  topics: Topic[];
  total: number;
  next: string | null;
}

export interface StoredEvent {
  id: string;
  type: string;
  topics: string[];
  data?: unknown;
  text?: string;
  timestamp: number;
  bytes: number;
}

export interface StoredEvents {
  events: StoredEvent[];
  next: string | null;
}

export interface Readiness {
  status: string;
  checks?: Record<string, unknown>;
}
