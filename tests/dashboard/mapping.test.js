// What is asked about a proposed step, what a step becomes by the answer, and values as text.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decided,
  describe,
  listOf,
  question,
  tableOf,
  tableText,
} from "../../app/dashboard/js/views/steps.js";

test("a step that loses values is asked about, and may be taken or left out", () => {
  const step = { operation: "trim", decide: true, lost: ["a", "b"] };
  const { label, options } = question(step);
  assert.match(label, /does not keep all of a, b$/);
  const [taken, leftOut] = options.map(([value]) => value);
  assert.deepEqual(decided(step, taken), [{ operation: "trim" }]);
  assert.deepEqual(decided(step, leftOut), []);
  assert.deepEqual(decided(step, ""), [step]);
});

test("the answer completes the step", () => {
  const date = { operation: "date_format", to: "%Y-%m-%d", decide: true, readings: ["%d/%m/%Y"] };
  assert.deepEqual(decided(date, "%d/%m/%Y"), [
    { operation: "date_format", to: "%Y-%m-%d", from: "%d/%m/%Y" },
  ]);
  const cast = {
    operation: "cast",
    to: "number",
    decide: true,
    readings: ["decimal", "thousands"],
  };
  assert.deepEqual(decided(cast, "de"), [
    { operation: "cast", to: "number", decimal: ",", thousands: "." },
  ]);
  assert.equal(question({ operation: "trim" }), null);
});

test("a table of values is text and back", () => {
  const table = { m: "male", "a = b": "x", "": "unknown" };
  assert.deepEqual(tableOf(tableText(table)), table);
  assert.deepEqual(tableOf("no mark\nm = f"), { m: "f" });
});

test("values are separated by bars, and none is no list", () => {
  assert.deepEqual(listOf(" a | b c |"), ["a", "b c"]);
  assert.equal(listOf(" | "), null);
});

test("a step is said in words", () => {
  assert.equal(describe({ operation: "date_format", from: "%d", to: "%m" }), "date %d to %m");
  assert.equal(describe({ operation: "trim", decide: true }).endsWith("(to be decided)"), true);
});
