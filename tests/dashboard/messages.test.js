// Which language the page is shown in, and how a text gets its values.

import assert from "node:assert/strict";
import { test } from "node:test";
import { language, t, tCount } from "../../app/dashboard/js/messages.js";

test("the first preferred language with a catalogue is chosen", () => {
  assert.equal(language("de fr", ["fr-CH", "de"]), "fr");
  assert.equal(language("de fr", ["es", "de-AT"]), "de");
});

test("English needs no catalogue, and nothing known means English", () => {
  assert.equal(language("de", ["en-GB", "de"]), null);
  assert.equal(language("de", ["es"]), null);
  assert.equal(language("", ["de"]), null);
});

test("values replace their names, and an unknown name stays visible", () => {
  assert.equal(t("{count} of {all} rows", { count: 2, all: 3 }), "2 of 3 rows");
  assert.equal(t("{count} rows"), "{count} rows");
});

test("the number chooses the text, and is shown as it was formatted", () => {
  assert.equal(tCount(1, "1", "{count} row", "{count} rows"), "1 row");
  assert.equal(tCount(1234, "1,234", "{count} row", "{count} rows"), "1,234 rows");
});
