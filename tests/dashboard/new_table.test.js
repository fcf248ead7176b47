// Types that are offered for a column of a new table.

import assert from "node:assert/strict";
import { test } from "node:test";
import "./page.js";
const { choices } = await import("../../app/dashboard/js/views/new_table.js");

const proposed = { column: "x", from: "x", type: "text", made: null };

test("of dates with two readings both are offered, after the proposal", () => {
  const profile = { type: "text", reason: "ambiguous_date", readings: ["%d/%m/%Y", "%m/%d/%Y"] };
  const [first, second, third] = choices(profile, proposed, "postgresql");
  assert.equal(first.type, "text");
  assert.deepEqual(second.steps, [{ operation: "parse_date", format: "%d/%m/%Y" }]);
  assert.deepEqual([third.type, third.steps[0].format], ["date", "%m/%d/%Y"]);
});

test("of numbers with two readings both are offered", () => {
  const [, decimals, thousands] = choices({ reason: "comma_or_thousands" }, proposed, "postgresql");
  assert.deepEqual([decimals.type, decimals.steps[0].decimal], ["numeric", ","]);
  assert.deepEqual([thousands.type, thousands.steps[0].thousands], ["bigint", ","]);
});
