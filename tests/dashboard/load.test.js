// Small charts of the load, and whether the service is well.

import assert from "node:assert/strict";
import { test } from "node:test";
import { CHARTS, binned, checksOf, verdictOf } from "../../app/dashboard/js/load.js";

const NOW = Date.parse("2026-11-30T12:00:00Z");
const sample = (at, values = {}) => ({
  at: `2026-11-30T${at}:00Z`,
  rows: 0,
  failed_rows: 0,
  failed_jobs: 0,
  queued_jobs: 0,
  disk_free_bytes: null,
  ...values,
});
const history = (...items) => ({ since: "2026-11-30T00:00:00Z", interval_seconds: 300, items });

test("a bin has the samples of its time, and one without samples stays open", () => {
  const loads = history(
    sample("00:00", { rows: 300 }),
    sample("00:05", { rows: 600 }),
    sample("11:55", { rows: 3000 }),
  );
  const rate = binned(loads, 12, CHARTS[0].combine(300), NOW);
  assert.equal(rate[0], 1.5); // 900 rows in 600 seconds
  assert.equal(rate[11], 10);
  assert.deepEqual(rate.slice(1, 11), Array(10).fill(null));
});

test("the queue shows its longest, the disk its last", () => {
  const loads = history(
    sample("00:00", { queued_jobs: 7, disk_free_bytes: 9 }),
    sample("00:05", { queued_jobs: 2, disk_free_bytes: 5 }),
  );
  assert.equal(binned(loads, 12, CHARTS[1].combine(300), NOW)[0], 7);
  assert.equal(binned(loads, 12, CHARTS[3].combine(300), NOW)[0], 5);
});

const well = {
  database: { kind: "sqlite", status: "ok" },
  disk: { free_bytes: 5e9, total_bytes: 9e9, must_stay_free_bytes: 1e9 },
  queue: { status: "ok" },
  storage: { lost_files: 0, held_files: 0, backed_up_at: "2026-11-29T00:00:00Z" },
};
const states = (about, loads = history()) => checksOf(about, loads, NOW).map(({ state }) => state);

test("a service without complaints is well", () => {
  const checks = checksOf(well, history(), NOW);
  assert.deepEqual(new Set(states(well)), new Set(["ok"]));
  assert.equal(verdictOf(checks), "All is well.");
});

test("what stops the work is named in the sentence", () => {
  const full = { ...well, disk: { ...well.disk, free_bytes: 1 } };
  assert.equal(verdictOf(checksOf(full, history(), NOW)), "Not well: Disk.");
  const draining = { ...well, queue: { status: "draining" } };
  assert.equal(states(draining)[1], "bad");
});

test("failures, files of nobody and an old backup deserve a look", () => {
  const storage = { lost_files: 2, held_files: 1, backed_up_at: "2026-11-20T00:00:00Z" };
  const checks = checksOf({ ...well, storage }, history(sample("10:00", { failed_rows: 3 })), NOW);
  assert.equal(verdictOf(checks), "It works. Have a look at: Work, Storage, Backup.");
  assert.match(checks[3].text, /^3 rows, 0 jobs failed/);
  assert.match(checks[4].text, /^3 stored files belong/);
});

test("a bucket has no disk, and a database that is away no storage", () => {
  const away = { ...well, disk: null, storage: null };
  assert.equal(checksOf(away, null, NOW).length, 2);
});
