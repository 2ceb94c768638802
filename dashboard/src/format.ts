// Numbers, times and foreign text as a person reads them. Everything here is a plain function of what it is
// given; widths stay steady, so that columns of figures line up and do not jump.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** What stands where there is no number. */
export const NOTHING = "–";

/** 1234567 → `1,234,567`, and from ten millions on `12.3 M`. */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  if (Math.abs(value) < 9_999_999.5) return whole.format(value);
  for (const [size, name] of [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
  ] as const) {
    if (Math.abs(value) >= size * 0.9995) return `${tenths.format(value / size)} ${name}`;
  }
  return whole.format(value);
}

/** Per second: one decimal below 10, so that a slow trickle shows. */
export function rate(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  if (value === 0) return "0";
  return value < 9.95 ? tenths.format(value) : count(value);
}

/** Milliseconds in three digits and their unit. */
export function milliseconds(value: number | null | undefined): [figure: string, unit: string] {
  if (value === null || value === undefined || !Number.isFinite(value)) return [NOTHING, ""];
  if (value >= 999.5) return [(value / 1000).toPrecision(3), "s"];
  if (value >= 99.5) return [value.toFixed(0), "ms"];
  if (value >= 9.95) return [value.toFixed(1), "ms"];
  return [value.toFixed(2), "ms"];
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** 1536 → `1.5 KiB`. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  let [size, unit] = [value, 0];
  // 1023.96 would be written 1024.0.
  while (size >= 1023.95 && unit < BYTE_UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? whole.format(size) : tenths.format(size)} ${BYTE_UNITS[unit]}`;
}

const SPANS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
] as const;

/** Its two largest parts: `3 min 20 s`, `2 h`, `0 s`. */
export function duration(secs: number): string {
  let left = Math.max(0, Math.floor(secs));
  const first = SPANS.findIndex(([size]) => left >= size);
  if (first < 0) return "0 s";
  return SPANS.slice(first, first + 2)
    .flatMap(([size, name]) => {
      const parts = Math.floor(left / size);
      left -= parts * size;
      return parts ? [`${parts} ${name}`] : [];
    })
    .join(" ");
}

/** `in 4 min`, `3 h 5 min ago`, `now`. */
export function fromNow(atMs: number, nowMs: number): string {
  const secs = Math.round((atMs - nowMs) / 1000);
  if (secs === 0) return "now";
  return secs > 0 ? `in ${duration(secs)}` : `${duration(-secs)} ago`;
}

/** The time of day here, as `18:31:05` or `18:31:05.123`. */
export function clock(atMs: number, parts: "minutes" | "seconds" | "milliseconds" = "seconds") {
  const time = new Date(atMs);
  if (Number.isNaN(time.getTime())) return NOTHING;
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = `${two(time.getHours())}:${two(time.getMinutes())}`;
  if (parts === "minutes") return minutes;
  const seconds = `${minutes}:${two(time.getSeconds())}`;
  if (parts === "seconds") return seconds;
  return `${seconds}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

/** Day and time here, as `2026-11-27 18:31:05`. */
export function dateTime(atMs: number): string {
  const time = new Date(atMs);
  if (Number.isNaN(time.getTime())) return NOTHING;
  const two = (value: number) => String(value).padStart(2, "0");
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock(atMs)}`;
}

/**
 * Foreign text, to be shown as text. What turns the direction of writing, and what cannot be seen, stands there by
 * its number, so that nothing looks like what it is not; line breaks and tabs stay.
 */
export function plain(text: string): string {
  return text.replace(/[\p{Bidi_Control}\p{Cc}\u200b\u2060\ufeff]/gu, (character) => {
    if (character === "\n" || character === "\t") return character;
    const number = (character.codePointAt(0) ?? 0).toString(16).toUpperCase();
    return `[U+${number.padStart(4, "0")}]`;
  });
}

/** The beginning of a text, and how many characters were left out. */
export function shortened(text: string, charsMax: number): [text: string, left: number] {
  if (text.length <= charsMax) return [text, 0];
  // Not through the middle of a pair of surrogates.
  const end = /[\uD800-\uDBFF]/.test(text[charsMax - 1] ?? "") ? charsMax - 1 : charsMax;
  return [text.slice(0, end), text.length - end];
}
