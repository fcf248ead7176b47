// Which files of a job are offered.

import assert from "node:assert/strict";
import { test } from "node:test";
import { downloadsOf } from "../../app/dashboard/js/downloads.js";

const job = ({ counts = {}, ...more } = {}) => ({
  job_id: "a/b",
  status: "completed",
  processor: "rows",
  rows_removed_at: null,
  rejects_removed_at: null,
  ...more,
  counts: { loaded: 5, rejected: 0, failed: 0, not_processed: 0, ...counts },
});
const labels = (...parameters) => downloadsOf(...parameters).map(({ label }) => label);

test("a clean job has its rows in every form, CSV first", () => {
  const [first, ...others] = downloadsOf(job());
  assert.deepEqual(first, {
    label: "Rows as CSV",
    href: "/api/v1/results/a%2Fb/download?format=csv",
  });
  assert.equal(others.length, 5);
});

test("a running job has the rows so far", () => {
  for (const { href } of downloadsOf(job({ status: "processing" })))
    assert.match(href, /partial=true/);
});

test("rejects are offered where there are some, and what was deleted is not", () => {
  assert.ok(labels(job({ counts: { rejected: 1 } })).includes("Rejected rows as CSV"));
  const old = { rows_removed_at: "2026-01-05", rejects_removed_at: "2026-01-05" };
  assert.deepEqual(labels(job({ counts: { rejected: 1 }, ...old })), ["Everything as zip"]);
});

test("a job without rows of its own offers none", () => {
  assert.deepEqual(labels(job({ processor: "profile" })), []);
  assert.deepEqual(labels(job({ parts: { total: 2 } })), []);
  assert.ok(!labels(job(), true).includes("Rows as CSV"));
});
