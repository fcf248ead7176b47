// The verdict on a job, from its proof and its status.

import assert from "node:assert/strict";
import { test } from "node:test";

import { verdictOf } from "../../app/dashboard/js/outcome.js";

const counts = { loaded: 3, rejected: 0, failed: 0, not_processed: 0 };
const status = { status: "completed", counts, split_complete: true };
const proof = { closes: true, is_final: true, counts, rows: { total: 3 } };

test("rows of a load that are as they were loaded are verified", () => {
  const table = { same: 3, changed: 0, removed: 0 };
  assert.deepEqual(verdictOf({ ...proof, table }, status), {
    tone: "closed",
    text: "Verified: 3 rows accounted for: 3 loaded.",
  });
});

for (const [name, table, words] of [
  ["changed", { changed: 1, removed: 0 }, "Others have altered the table since: 1 changed."],
  ["removed", { changed: 0, removed: 2 }, "Others have altered the table since: 2 removed."],
  [
    "changed and removed",
    { changed: 1, removed: 1 },
    "Others have altered the table since: 1 changed, 1 removed.",
  ],
  ["dropped", { changed: 0, removed: 0, table: "gone" }, "The table was dropped since."],
  [
    "redefined",
    { changed: 0, removed: 0, table: "redefined" },
    "The columns of the table have changed since.",
  ],
]) {
  test(`a load whose table was ${name} is not shown as whole`, () => {
    const { tone, text } = verdictOf({ ...proof, table }, status);
    assert.equal(tone, "partial");
    assert.ok(text.endsWith(words), text);
  });
}

test("an undone job is not shown as whole", () => {
  const { tone, text } = verdictOf(proof, { ...status, undo: { state: "undone" } });
  assert.equal(tone, "partial");
  assert.equal(text, "3 rows were read, and the job was undone.");
});

test("rows that do not add up come before everything else", () => {
  const broken = { ...proof, closes: false, problems: ["chunk 0"] };
  assert.equal(verdictOf(broken, { ...status, undo: { state: "undone" } }).tone, "broken");
});
