// Formats numbers, sizes and times for people.

import { locale, t, tCount } from "./messages.js";

const whole = new Intl.NumberFormat(locale);
const short = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export const count = (value) => whole.format(value ?? 0);
export const number = (value) =>
  value === null || value === undefined ? "–" : short.format(value);
export const plural = (value, one, many = `${one}s`) =>
  tCount(value, count(value), `{count} ${one}`, `{count} ${many}`);

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit ? short.format(value) : value} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

export const rate = (perSecond) => t("{count} rows/s", { count: count(Math.round(perSecond)) });
export const when = (iso) => (iso ? moment.format(new Date(iso)) : "–");
export const at = (iso) => clock.format(new Date(iso));

export function ago(iso) {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  if (seconds < 60) return t("just now");
  if (seconds < 3600) return t("{count} min ago", { count: Math.floor(seconds / 60) });
  if (seconds < 86400) return t("{count} h ago", { count: Math.floor(seconds / 3600) });
  return moment.format(new Date(iso));
}

export const percent = (share) => `${(share * 100).toFixed(share > 0.1 || share === 0 ? 0 : 1)} %`;

export const STATES = {
  queued: t("Queued"),
  processing: t("Processing"),
  completed: t("Completed"),
  completed_with_errors: t("Completed with rejects"),
  failed: t("Failed"),
  cancelled: t("Cancelled"),
};
/** Returns the status of a job, or `incomplete` if it ended without processing all rows. */
export const NAMES = { ...STATES, incomplete: t("Incomplete") };
export const standing = ({ status, counts, error }) =>
  status === "completed_with_errors" &&
  (counts.failed || counts.not_processed || error || !counts.rejected)
    ? "incomplete"
    : status;

/** The outcomes of rows as [name, words, tone]; docs/states.md explains them. */
export const COUNTS = [
  ["loaded", t("loaded"), "ok"],
  ["rejected", t("rejected"), "warn"],
  ["failed", t("failed"), "bad"],
  ["not_processed", t("not processed"), "off"],
];

/** Tells why rows of an ended job are neither loaded nor rejected; empty if there are none. */
export function missing({ counts, split_complete: isSplit }) {
  return [
    counts.failed &&
      plural(
        counts.failed,
        "row failed for a reason that is not in the file. A retry runs it again.",
        "rows failed for a reason that is not in the file. A retry runs them again.",
      ),
    counts.not_processed &&
      plural(counts.not_processed, "row was not processed.", "rows were not processed."),
    !isSplit && t("The rest of the file was not read."),
  ]
    .filter(Boolean)
    .join(" ");
}
/** Returns the last part of an address, without its query; any other name as it is. */
export function shortName(name) {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(name)) return name;
  const [path] = name.split(/[?#]/);
  return path.split("/").filter(Boolean).slice(2).at(-1) ?? name;
}

export const canRetry = ({ status, counts }) =>
  counts.failed > 0 && ["completed_with_errors", "failed"].includes(status);

export const isFinal = (status) => !["queued", "processing", "pending"].includes(status);
export const TONES = {
  queued: "idle",
  pending: "idle",
  valid: "ok",
  invalid: "bad",
  processing: "busy",
  completed: "ok",
  completed_with_errors: "warn",
  incomplete: "bad",
  failed: "bad",
  cancelled: "off",
  delivered: "ok",
};
