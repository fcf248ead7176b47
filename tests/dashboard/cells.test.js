// What a cell is, and how rows and conditions are written for the service.

import assert from "node:assert/strict";
import { test } from "node:test";
import { asRanges, asTabs, histogram, typeOf } from "../../app/dashboard/js/cells.js";
import { conditionText, packed, unpacked } from "../../app/dashboard/js/filters.js";

test("a column has the type that all of its cells have", () => {
  assert.equal(typeOf(["1", "-2.5", "", null, "1e3"]), "number");
  assert.equal(typeOf(["1", "01234"]), "text");
  assert.equal(typeOf(["2026-01-31", "2026-01-31T10:00Z"]), "date");
  assert.equal(typeOf(["", null]), "empty");
});

test("numbers fall into bins of equal width", () => {
  const { edges, shares } = histogram([0, 1, 7, 8]);
  assert.deepEqual(edges, [0, 8]);
  assert.deepEqual(shares, [0.25, 0.25, 0, 0, 0, 0, 0, 0.5]);
  assert.equal(histogram([3, 3]), null);
});

test("row numbers become ranges", () => {
  assert.equal(asRanges(new Set([12, 3, 11, 10])), "3,10-12");
});

test("copied cells keep their places", () => {
  assert.equal(
    asTabs([
      ["a", null],
      ["b\tc", "d\ne"],
    ]),
    "a\t\nb c\td e",
  );
});

test("a condition is quoted unless it compares by value", () => {
  const text = (operator, value) => conditionText({ column: 'a "b"', operator, value });
  assert.equal(text(">", "-5.5"), '"a ""b""" > -5.5');
  assert.equal(text(">", "5,5"), '"a ""b""" > 5,5');
  assert.equal(text("=", "01234"), `"a ""b""" = '01234'`);
  assert.equal(text("contains", "5"), `"a ""b""" contains '5'`);
  assert.equal(text("<", "2026-01-31 10:00"), '"a ""b""" < 2026-01-31T10:00');
  assert.equal(text("=", "it's"), `"a ""b""" = 'it''s'`);
  assert.equal(text("is empty", ""), '"a ""b""" is empty');
});

test("a condition in the address is read only if it is one", () => {
  const condition = { column: "a", operator: "not contains", value: "x" };
  assert.deepEqual(unpacked(packed(condition)), condition);
  for (const wrong of ["", "{}", "[1,2]", '["a","like","x"]']) assert.equal(unpacked(wrong), null);
});
