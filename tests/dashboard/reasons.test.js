// Reasons of rejects in words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { reasonName, reasonsOf } from "../../app/dashboard/js/reasons.js";

test("a code is shown in words, also one that the page does not know", () => {
  assert.equal(reasonName("column_count"), "Too few or too many cells");
  assert.equal(reasonName("too_far_away"), "Too far away");
  assert.equal(reasonName("constructor"), "Constructor");
});

test("the most frequent reason comes first", () => {
  assert.deepEqual(
    reasonsOf({ column_count: 2, invalid_utf8: 7 }).map(({ code, count }) => [code, count]),
    [
      ["invalid_utf8", 7],
      ["column_count", 2],
    ],
  );
});
