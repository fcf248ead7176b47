// A row of the wrong shape runs only after somebody has decided about its cells.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decide,
  decisions,
  extraCells,
  newEdit,
  patchOf,
  refusal,
} from "../../app/dashboard/js/reject_cells.js";

const HEADER = ["id", "name", "n"];
const edited = (cells, uncertain) => newEdit({ row_number: 7, cells, uncertain });
const kinds = (edit) => decisions(edit, HEADER).map(({ kind }) => kind);

test("a row with a cell for each column needs no decision", () => {
  const edit = edited(["1", "x", "y"], []);
  assert.equal(refusal(edit, HEADER), "");
  assert.deepEqual(kinds(edit), []);
  edit.values.set("n", "2");
  assert.deepEqual(patchOf(edit, HEADER), { _row: 7, values: { n: "2" } });
});

test("extra cells are joined or dropped, never cut", () => {
  const edit = edited(["1", "a", "b", "2"], ["n"]);
  assert.match(refusal(edit, HEADER), /^Row 7 has 1 cell without a column/);
  assert.deepEqual(kinds(edit), ["join", "drop"]);
  decide(edit, HEADER, "join", { place: 2, delimiter: ";" });
  assert.equal(refusal(edit, HEADER), "");
  assert.deepEqual(kinds(edit), []);
  assert.deepEqual(patchOf(edit, HEADER).values, { n: "b;2" });

  const moved = edited(["1", "a", "b", "2"], ["n"]);
  decide(moved, HEADER, "join", { place: 1, delimiter: "," });
  assert.deepEqual(patchOf(moved, HEADER).values, { name: "a,b", n: "2" });

  const other = edited(["1", "a", "b", "2"], ["n"]);
  decide(other, HEADER, "drop");
  assert.deepEqual(patchOf(other, HEADER).values, { n: "b" });
});

test("a change of another cell does not decide about extra ones", () => {
  const edit = edited(["1", "a", "b", "2"], ["n"]);
  edit.values.set("name", "a,b");
  edit.values.set("n", "2");
  assert.notEqual(refusal(edit, HEADER), "");
  edit.extra = extraCells(edit, HEADER).with(0, "");
  assert.equal(refusal(edit, HEADER), "");
  assert.deepEqual(patchOf(edit, HEADER).values, { name: "a,b", n: "2" });
});

test("blank extra cells need a decision too", () => {
  const edit = edited(["", "", "", ""], ["n"]);
  assert.notEqual(refusal(edit, HEADER), "");
  assert.deepEqual(kinds(edit), ["join", "drop"]);
  decide(edit, HEADER, "drop");
  assert.deepEqual(patchOf(edit, HEADER).values, { n: "" });
});

test("a missing cell is filled in or left empty on purpose", () => {
  const edit = edited(["1"], ["name", "n"]);
  edit.values.set("name", "Ada");
  assert.match(refusal(edit, HEADER), /no cell for n:/);
  decide(edit, HEADER, "keep");
  assert.equal(refusal(edit, HEADER), "");
  assert.deepEqual(patchOf(edit, HEADER).values, { name: "Ada", n: "" });
});

test("cells with a quote in the wrong place are corrected or taken", () => {
  const edit = edited(["1", 'a"b', "2"], ["name"]);
  assert.match(refusal(edit, HEADER), /a guess, in name/);
  decide(edit, HEADER, "keep");
  assert.deepEqual(patchOf(edit, HEADER).values, { name: 'a"b' });
});
