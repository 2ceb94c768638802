// Draws docs/benchmarks.svg from docs/benchmarks.json, and writes the tables between the marks in
// docs/benchmarks.md. Run it with Node after `cargo xtask bench-peers`; it needs nothing else.
import { readFileSync, writeFileSync } from "node:fs";

const here = (name) => new URL(name, import.meta.url);
const results = JSON.parse(readFileSync(here("benchmarks.json"), "utf8")).flatMap(
  ({ peer, version, run }) => run.runs.map((one) => ({ ...one, peer, version, document: run })),
);
const peers = [...new Set(results.map((result) => result.peer))];
const titles = [...new Set(results.map((result) => result.title))];
const of = (peer, title) => results.find((one) => one.peer === peer && one.title === title);

const scales = {
  ns: [
    [1e9, "s"],
    [1e6, "ms"],
    [1e3, "µs"],
    [1, "ns"],
  ],
  bytes: [
    [1048576, "MiB"],
    [1024, "KiB"],
    [1, "B"],
  ],
  per_sec: [
    [1e6, "M/s"],
    [1e3, "k/s"],
    [1, "/s"],
  ],
};

function show(metric, value) {
  if (value === undefined) return "–";
  const unit = Object.keys(scales).find((name) => metric.endsWith(`_${name}`));
  const [scale, name] = scales[unit]?.find(([scale]) => value >= scale) ?? [1, ""];
  return `${Number((value / scale).toPrecision(3))} ${name}`.trim();
}

// What each scenario is about. The rest of its figures are in the JSON.
const columns = {
  fanout: ["cpu_per_delivery_ns", "deliveries_per_sec", "events_per_receive"],
  latency: ["p50_ns", "p99_ns", "p999_ns"],
  idle: ["memory_per_connection_bytes"],
  connect: ["connects_per_sec", "cpu_per_connect_ns"],
  storm: ["storm_ns", "storm_cpu_ns", "storm_to_calm"],
  publish: ["events_per_sec", "cpu_per_event_ns"],
  replay: ["events_per_sec", "bytes_per_sec", "cpu_per_event_ns"],
};
const names = {
  cpu_per_delivery_ns: "CPU per delivery",
  deliveries_per_sec: "deliveries",
  events_per_receive: "events per receive",
  p50_ns: "p50",
  p99_ns: "p99",
  p999_ns: "p99.9",
  memory_per_connection_bytes: "user memory per connection",
  connects_per_sec: "connects",
  cpu_per_connect_ns: "CPU per connect",
  storm_ns: "until all are back",
  storm_cpu_ns: "CPU of the storm",
  storm_to_calm: "storm / as many connects + deliveries",
  events_per_sec: "events",
  bytes_per_sec: "bytes per second",
  cpu_per_event_ns: "CPU per event",
};

function table(title) {
  const measured = peers.map((peer) => of(peer, title)).filter(Boolean);
  const metrics = columns[measured[0].scenario];
  const cell = (one, metric) => {
    // How often the generator reads is no virtue of the floor.
    const ratio = metric === "events_per_receive" ? undefined : one.ratio[metric];
    const beside = ratio === undefined ? "" : ` (${ratio.toFixed(2)} × floor)`;
    return show(metric, one.median.server[metric]) + beside;
  };
  const rows = measured.map((one) =>
    [one.peer, ...metrics.map((metric) => cell(one, metric)), `${one.lost} / ${one.repeated}`].join(
      " | ",
    ),
  );
  const head = ["", ...metrics.map((metric) => names[metric]), "lost / repeated"];
  return [
    `**${title}**`,
    "",
    `| ${head.join(" | ")} |`,
    `|${"---|".repeat(head.length)}`,
    ...rows.map((row) => `| ${row} |`),
  ].join("\n");
}

function machine() {
  const { machine, method, generator } = results[0].document;
  const versions = peers.map((peer) => {
    const { version } = results.find((one) => one.peer === peer);
    return `${peer} ${version}`;
  });
  const pinned = method.pinned
    ? `server on core ${method.pinned.server_core}, load generator on core ${method.pinned.client_core}`
    : "not pinned";
  return [
    `${machine.processor}, ${machine.cores} cores, ${machine.memory}, Linux ${machine.kernel}; ` +
      `${pinned}; medians of ${method.rounds} rounds of ${method.round_secs} s.`,
    "",
    `${versions.join("; ")}; measured by ${generator}.`,
  ].join("\n");
}

const colours = { tidings: "#0b7285", nchan: "#868e96", "better-sse": "#adb5bd" };

/** One panel: a title and a horizontal bar for each peer, the floor as a line where there is one. */
function panel(y, title, bars, floor) {
  const [left, width, step] = [110, 420, 22];
  const most = Math.max(...bars.map((bar) => bar.value), floor?.value ?? 0);
  const across = (value) => Math.max(1, (value / most) * width);
  const lines = bars.map((bar, index) => {
    const top = y + 24 + index * step;
    const fill = colours[bar.peer] ?? "#495057";
    return (
      `<text x="${left - 8}" y="${top + 13}" text-anchor="end">${bar.peer}</text>` +
      `<rect x="${left}" y="${top}" width="${across(bar.value).toFixed(1)}" height="16" rx="2" fill="${fill}"/>` +
      `<text x="${(left + across(bar.value) + 6).toFixed(1)}" y="${top + 13}">${bar.label}</text>`
    );
  });
  const bottom = y + 24 + bars.length * step;
  const mark = floor
    ? `<line x1="${(left + across(floor.value)).toFixed(1)}" x2="${(left + across(floor.value)).toFixed(1)}" ` +
      `y1="${y + 18}" y2="${bottom}" stroke="#e03131" stroke-dasharray="3 2"/>` +
      `<text x="${left}" y="${bottom + 12}" fill="#e03131">floor ${floor.label}</text>`
    : "";
  return {
    svg: `<text x="8" y="${y + 12}" font-weight="600">${title}</text>${lines.join("")}${mark}`,
    height: 24 + bars.length * step + (floor ? 24 : 10),
  };
}

function chart() {
  const wanted = [
    [
      /^fanout: 1000 .*one event/,
      "cpu_per_delivery_ns",
      "CPU per delivery, 1,000 listeners, one event in flight",
    ],
    [
      /^fanout: 1000 .*16 events/,
      "cpu_per_delivery_ns",
      "CPU per delivery, 1,000 listeners, 16 events waiting",
    ],
    [/^latency/, "p99_ns", "p99 at 20 events/s to 1,000 listeners"],
    [/^idle: .*one topic/, "memory_per_connection_bytes", "User memory per idle connection"],
    [/^connect/, "cpu_per_connect_ns", "CPU per connect"],
  ];
  let y = 8;
  const parts = [];
  for (const [pattern, metric, heading] of wanted) {
    const title = titles.find((one) => pattern.test(one));
    const measured = peers.map((peer) => of(peer, title)).filter(Boolean);
    if (measured.length === 0) continue;
    const bars = measured.map((one) => {
      const value = one.median.server[metric];
      return { peer: one.peer, value, label: show(metric, value) };
    });
    const low = measured[0].median.floor[metric];
    const floor = low === undefined ? undefined : { value: low, label: show(metric, low) };
    const drawn = panel(y, heading, bars, floor);
    parts.push(drawn.svg);
    y += drawn.height + 10;
  }
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 ${y}" width="640" height="${y}" ` +
    `font-family="system-ui, sans-serif" font-size="12" role="img" ` +
    `aria-label="Tidings beside its peers and the floor; less is better">` +
    `<rect width="640" height="${y}" fill="#fff"/>${parts.join("\n")}</svg>\n`
  );
}

function between(text, mark, inside) {
  const [begin, end] = [`<!-- ${mark}: drawn -->`, `<!-- /${mark} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/benchmarks.md has no place for ${mark}`);
  return `${text.slice(0, from + begin.length)}\n\n${inside}\n\n${text.slice(to)}`;
}

writeFileSync(here("benchmarks.svg"), chart());
const picture = "![Tidings beside its peers and the floor; less is better](benchmarks.svg)";
const tables = [picture, ...titles.map(table)].join("\n\n");
const page = readFileSync(here("benchmarks.md"), "utf8");
writeFileSync(
  here("benchmarks.md"),
  between(between(page, "machine", machine()), "tables", tables),
);
