// The load of the last hours, as values of small charts, and whether the service is well.

import { bytes, count, plural, when } from "./format.js";
import { t } from "./messages.js";

const DAY_MS = 86_400_000;
const OLD_BACKUP_DAYS = 8;

/** Returns `number` values, the oldest first, of the samples of /api/v1/system/history. `combine`
 *  makes a value of the samples of one bin; a bin without samples is null.
 *  @param {{since: string, interval_seconds: number, items: {at: string}[]}} history
 *  @param {number} number
 *  @param {(samples: any[]) => number | null} combine
 *  @param {number} [now] */
export function binned(history, number, combine, now = Date.now()) {
  const begin = Date.parse(history.since);
  const width = Math.max(history.interval_seconds * 1000, (now - begin) / number);
  const bins = Array.from({ length: number }, () => []);
  for (const sample of history.items) {
    const bin = Math.floor((Date.parse(sample.at) - begin) / width);
    bins[Math.min(bin, number - 1)]?.push(sample);
  }
  return bins.map((samples) => (samples.length ? combine(samples) : null));
}

const sum = (samples, name) => samples.reduce((total, sample) => total + sample[name], 0);

/** The charts: how the samples of a bin combine, and how a value is written. */
export const CHARTS = [
  {
    name: t("Rows per second"),
    combine: (seconds) => (samples) => sum(samples, "rows") / (samples.length * seconds),
    text: (value) => t("{count} rows/s", { count: count(Math.round(value)) }),
    tone: "accent",
  },
  {
    name: t("Jobs in the queue"),
    combine: () => (samples) => Math.max(...samples.map((sample) => sample.queued_jobs)),
    text: (value) => plural(value, "job"),
    tone: "busy",
  },
  {
    name: t("Failures"),
    combine: () => (samples) => sum(samples, "failed_rows") + sum(samples, "failed_jobs"),
    text: (value) => plural(value, "failure"),
    tone: "bad",
  },
  {
    name: t("Free disk"),
    combine: () => (samples) => samples[samples.length - 1].disk_free_bytes,
    text: (value) => bytes(value),
    tone: "ok",
  },
];

/** Returns the checks [{name, text, state}] of the service; state is ok, warn or bad.
 *  @param {any} about the answer of /api/v1/system
 *  @param {{items: any[]} | null} history
 *  @param {number} [now] */
export function checksOf({ database, disk, queue, storage }, history, now = Date.now()) {
  const kind = database.kind === "sqlite" ? "SQLite" : "PostgreSQL";
  const checks = [
    check(
      t("Database ({kind})", { kind }),
      database.status === "ok" ? t("It responds.") : database.status,
      database.status === "ok" ? "ok" : "bad",
    ),
    check(
      t("Queue and workers"),
      queue.status === "ok" ? t("Jobs are accepted.") : t("Jobs are not accepted now."),
      queue.status === "ok" ? "ok" : "bad",
    ),
  ];
  if (disk) {
    const isTight = disk.free_bytes < disk.must_stay_free_bytes;
    const free = t("{size} are free.", { size: bytes(disk.free_bytes) });
    checks.push(
      check(
        t("Disk"),
        isTight ? t("Uploads are refused: free some space.") : free,
        isTight ? "bad" : "ok",
      ),
    );
  }
  if (history) checks.push(failures(history));
  if (storage) checks.push(strangers(storage), backup(storage, now));
  return checks;
}

const check = (name, text, state) => ({ name, text, state });

function failures({ items }) {
  const [rows, jobs] = [sum(items, "failed_rows"), sum(items, "failed_jobs")];
  const text = t("{rows}, {jobs} failed in the last 24 hours.", {
    rows: plural(rows, "row"),
    jobs: plural(jobs, "job"),
  });
  const none = t("Nothing failed in the last 24 hours.");
  return check(t("Work"), rows || jobs ? text : none, rows || jobs ? "warn" : "ok");
}

function strangers({ lost_files: lost, held_files: held }) {
  const text = t("{count} belong to nobody.", { count: plural(lost + held, "stored file") });
  const none = t("Every stored file belongs to a job.");
  return check(t("Storage"), lost + held ? text : none, lost + held ? "warn" : "ok");
}

function backup({ backed_up_at: last }, now) {
  if (!last) return check(t("Backup"), t("None was made with the command of Granula."), "warn");
  const isOld = now - Date.parse(last) > OLD_BACKUP_DAYS * DAY_MS;
  return check(
    t("Backup"),
    t("The last one: {time}.", { time: when(last) }),
    isOld ? "warn" : "ok",
  );
}

/** Returns one sentence for all checks. */
export function verdictOf(checks) {
  const bad = checks.filter(({ state }) => state === "bad");
  const warned = checks.filter(({ state }) => state === "warn");
  if (bad.length) return t("Not well: {names}.", { names: bad.map(({ name }) => name).join(", ") });
  if (warned.length)
    return t("It works. Have a look at: {names}.", {
      names: warned.map(({ name }) => name).join(", "),
    });
  return t("All is well.");
}
