// One change for many rows of the wrong shape.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isShape, joined, kindsFor, reshaped } from "../../app/dashboard/js/shapes.js";

const row = (cells, uncertain = []) => ({ cells, uncertain });

test("extra cells are joined where they belong, and the rest moves back", () => {
  const cells = ["1", "Main St 1", " Ulm", "2"];
  assert.deepEqual(joined(cells, 3, 1, ","), ["1", "Main St 1, Ulm", "2"]);
  assert.deepEqual(joined(cells, 3, 2, ","), ["1", "Main St 1", " Ulm,2"]);
  assert.deepEqual(joined(["a", "b", "c"], 1, 0, ";"), ["a;b;c"]);
});

test("a change fits only rows of its shape", () => {
  const change = (kind) => ({ kind, place: 0, delimiter: "," });
  assert.equal(reshaped(row(["1", "2"]), 3, change("join")), null);
  assert.equal(reshaped(row(["1", "2", "x"]), 2, change("drop")), null);
  assert.deepEqual(reshaped(row(["1", "2", " ", ""]), 2, change("drop")), ["1", "2"]);
  assert.deepEqual(reshaped(row(["1"]), 3, change("fill")), ["1", "", ""]);
  assert.equal(reshaped(row(["1", "2", "3"]), 3, change("fill")), null);
  assert.deepEqual(reshaped(row(["1", 'a"b'], ["n"]), 2, change("take")), ["1", 'a"b']);
  assert.equal(reshaped(row(["1", 'a"b', "c"], ["n"]), 2, change("take")), null);
});

test("the changes that fit are offered with their number", () => {
  const rejects = [row(["1"]), row(["2"]), row(["1", "2", " "])];
  const numbers = kindsFor(rejects, 2, false).map(([kind, , number]) => [kind, number]);
  assert.deepEqual(numbers, [
    ["fill", 2],
    ["join", 1],
    ["drop", 1],
  ]);
  assert.ok(isShape("column_count") && !isShape("nul_character"));
});
