// One change for many rejects.

import assert from "node:assert/strict";
import { test } from "node:test";
import { changed, correctionCsv } from "../../app/dashboard/js/changes.js";
import { visible } from "../../app/dashboard/js/cells.js";

test("a change gives the new text of a cell", () => {
  assert.equal(changed("1,5,", { kind: "replace", find: ",", value: "." }), "1.5.");
  assert.equal(changed("a", { kind: "replace", find: "", value: "." }), "a");
  assert.equal(changed("a", { kind: "set", value: "" }), "");
  assert.equal(changed(" a b ", { kind: "trim" }), "a b");
  assert.equal(changed("EUR -1 234.5", { kind: "digits" }), "-1234.5");
});

test("a correction has the cells and the number of each row", () => {
  const rows = [{ number: 7, cells: ['say "a"', "b\nc"] }];
  assert.equal(correctionCsv(["x", "y,z"], rows), '"x","y,z","_row"\r\n"say ""a""","b\nc","7"\r\n');
});

test("a control character has a symbol", () => {
  assert.equal(visible("a\0b\x1f\n"), "a␀b␟\n");
  assert.equal(visible(null), null);
});
