// What a text in the form of an option stands for.

import assert from "node:assert/strict";
import { test } from "node:test";
import { choicesOf, optionValue } from "../../app/dashboard/js/options.js";

test("numbers, truth and documents have their type", () => {
  assert.equal(optionValue({ type: "integer" }, "12"), 12);
  assert.equal(optionValue({ type: "boolean" }, "false"), false);
  assert.deepEqual(optionValue({ type: "array" }, '["a"]'), ["a"]);
  assert.deepEqual(optionValue({ $ref: "#/$defs/Model" }, '{"a": 1}'), { a: 1 });
});

test("text stays text, also if it looks like a number", () => {
  assert.equal(optionValue({ type: "string" }, "0123"), "0123");
});

test("of several types the one that fits is taken", () => {
  const property = { anyOf: [{ type: "array" }, { type: "string" }, { type: "null" }] };
  assert.equal(optionValue(property, "id"), "id");
  assert.deepEqual(optionValue(property, '["id"]'), ["id"]);
});

test("a broken document is refused", () => {
  assert.throws(() => optionValue({ type: "object" }, "{"), SyntaxError);
});

test("what can be listed is chosen from a list", () => {
  assert.deepEqual(choicesOf({ type: "boolean" }), ["true", "false"]);
  assert.deepEqual(choicesOf({ anyOf: [{ enum: ["a", "b"] }, { type: "null" }] }), ["a", "b"]);
  assert.deepEqual(choicesOf({ type: "string" }), []);
});
