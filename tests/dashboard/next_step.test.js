// Which step the page of a job offers first.

import assert from "node:assert/strict";
import { test } from "node:test";
import { canReadAgain, nextStep } from "../../app/dashboard/js/next_step.js";

const job = ({ counts = {}, ...more } = {}) => ({
  status: "completed",
  processor: "rows",
  format: "csv",
  decoding: [],
  error: null,
  undo: null,
  split_complete: true,
  ...more,
  counts: { loaded: 0, rejected: 0, failed: 0, not_processed: 0, ...counts },
});
const partly = (counts, more) => job({ status: "completed_with_errors", counts, ...more });

test("a job that runs has no next step", () => {
  assert.equal(nextStep(job({ status: "queued" })), null);
  assert.equal(nextStep(job({ status: "processing", counts: { loaded: 5, rejected: 1 } })), null);
});

test("failed rows are retried before anything else", () => {
  assert.equal(nextStep(partly({ loaded: 5, rejected: 3, failed: 2 })), "retry");
  assert.equal(nextStep(job({ status: "failed", counts: { failed: 2 } })), "retry");
});

test("rejects are fixed where the job allows it", () => {
  assert.equal(nextStep(partly({ loaded: 5, rejected: 3 })), "fix");
  assert.equal(nextStep(partly({ loaded: 5, rejected: 3 }), true), "see_rejects");
  assert.equal(
    nextStep(partly({ loaded: 5, rejected: 3 }, { processor: "profile" })),
    "see_rejects",
  );
  assert.equal(nextStep(partly({ loaded: 5, rejected: 3 }, { processor: "load" })), "fix");
});

test("a job that stopped runs again, if its upload can be read again", () => {
  const cancelled = { status: "cancelled", counts: { loaded: 5, not_processed: 9 } };
  assert.equal(nextStep(job(cancelled)), "run_again");
  assert.equal(nextStep(job({ ...cancelled, parent_id: "a" })), null);
  assert.equal(nextStep(job({ status: "failed", error: { code: "x" } })), "run_again");
  assert.equal(nextStep(job({ counts: { loaded: 5 }, undo: { status: "undone" } })), "run_again");
});

test("the rejects of a load that failed say why", () => {
  const load = { status: "failed", processor: "load", error: { code: "too_many_rejects" } };
  assert.equal(nextStep(job({ ...load, counts: { rejected: 9 } })), "see_rejects");
});

test("a clean job leads to its result", () => {
  assert.equal(nextStep(job({ counts: { loaded: 5 } })), "download");
  assert.equal(nextStep(job({ counts: { loaded: 5 }, processor: "load" })), "open_table");
  assert.equal(nextStep(job({ counts: { loaded: 5 }, processor: "profile" })), "see_profile");
  assert.equal(nextStep(job({ counts: { loaded: 5 }, processor: "mapping" })), "see_mapping");
  assert.equal(nextStep(job({ counts: { loaded: 5 }, rows_removed_at: "2026-01-05" })), null);
  assert.equal(nextStep(job({ counts: { loaded: 5 }, parts: { total: 2 } })), null);
  assert.equal(nextStep(job({ counts: { loaded: 5 }, parent_id: "a" }), true), null);
  assert.equal(nextStep(job()), null);
});

test("only an upload of its own can be read again", () => {
  assert.equal(canReadAgain(job()), true);
  assert.equal(canReadAgain(job({ format: "parquet" })), false);
  assert.equal(canReadAgain(job({ decoding: [{ decoder: "xlsx", sheet: "One" }] })), false);
});
