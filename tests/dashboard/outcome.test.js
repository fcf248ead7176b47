// The sentence on the rows of an ended job never claims more than is true now.

import assert from "node:assert/strict";
import { test } from "node:test";
import { proofKey, verdictOf } from "../../app/dashboard/js/outcome.js";

const COUNTS = { loaded: 4, rejected: 0, failed: 0, not_processed: 0 };
const STATUS = {
  status: "completed",
  counts: COUNTS,
  rows: { total: 4 },
  split_complete: true,
  finished_at: "2026-05-01T12:00:00Z",
  undo: null,
};
const PROOF = {
  closes: true,
  is_final: true,
  problems: [],
  rows: { total: 4 },
  counts: COUNTS,
  table: { same: 4, changed: 0, removed: 0 },
};
const verdict = (proof, status = {}) => verdictOf({ ...PROOF, ...proof }, { ...STATUS, ...status });

test("rows that are as they were loaded are verified", () => {
  assert.equal(verdict({}).tone, "closed");
  assert.match(verdict({}).text, /^Verified: 4 rows accounted for/);
});

test("rows that were changed or removed since are named", () => {
  const changed = verdict({ table: { same: 1, changed: 2, removed: 1 } });
  assert.equal(changed.tone, "partial");
  assert.match(changed.text, /2 rows were changed since\. 1 row was removed since\./);
  assert.doesNotMatch(changed.text, /Verified/);
});

test("a table that cannot be compared verifies nothing", () => {
  for (const [table, words] of [
    ["gone", /is gone since/],
    ["redefined", /cannot be compared/],
  ]) {
    const { tone, text } = verdict({ table: { same: 0, changed: 0, removed: 0, table } });
    assert.equal(tone, "partial");
    assert.match(text, words);
  }
});

test("an undone job says that its rows were taken back, and which stay", () => {
  const undone = verdict({ table: undefined }, { undo: { state: "undone", removed: 4 } });
  assert.equal(undone.tone, "partial");
  assert.match(undone.text, /taken back\.$/);
  const some = verdict({}, { undo: { state: "undone", removed: 3, left: 1 } });
  assert.match(some.text, /1 row stays, because others changed it or need it\.$/);
});

test("while rows are being taken back nothing is verified or broken", () => {
  const half = verdict({ closes: false, problems: ["x"] }, { undo: { state: "undoing" } });
  assert.deepEqual([half.tone, half.text], ["partial", "The loaded rows are being taken back."]);
});

test("an undo asks for the proof again", () => {
  const keys = [null, { state: "undoing" }, { state: "undone" }].map((undo) =>
    proofKey({ ...STATUS, undo }),
  );
  assert.equal(new Set(keys).size, 3);
});
