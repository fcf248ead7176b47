// Refused uploads are kept in this tab until they are dismissed.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { forget, forgetAll, keep, kept } from "../../app/dashboard/js/jobs/refused.js";

const stored = new Map();
globalThis.sessionStorage = {
  getItem: (key) => stored.get(key) ?? null,
  setItem: (key, value) => stored.set(key, value),
  removeItem: (key) => stored.delete(key),
};
const names = () => kept().map(({ name }) => name);
const refuse = (name) => keep({ name, reason: "No table in it.", settings: { delimiter: ";" } });

beforeEach(() => stored.clear());

test("a refused upload is kept with its reason and settings, also twice by the same name", () => {
  const first = refuse("a.csv");
  refuse("a.csv");
  assert.deepEqual(
    kept().map(({ reason, settings }) => [reason, settings]),
    Array(2).fill(["No table in it.", { delimiter: ";" }]),
  );
  forget(first);
  assert.deepEqual(names(), ["a.csv"]);
});

test("the newest are kept, and nothing stays behind", () => {
  for (let number = 0; number < 60; number += 1) refuse(`${number}.csv`);
  assert.deepEqual([names().length, names()[0], names().at(-1)], [50, "10.csv", "59.csv"]);
  forgetAll();
  assert.equal(stored.size, 0);
});

test("what is not ours is no refused upload, and a full storage loses none of the page", () => {
  for (const text of ["{", "7", '{"a": 1}', '[null, {"id": 1}]']) {
    stored.set("granula.refused", text);
    assert.deepEqual(kept(), []);
  }
  const { setItem } = globalThis.sessionStorage;
  globalThis.sessionStorage.setItem = () => {
    throw new Error("full");
  };
  assert.ok(refuse("a.csv"));
  globalThis.sessionStorage.setItem = setItem;
});
