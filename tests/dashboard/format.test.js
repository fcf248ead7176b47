// How numbers, sizes and times are written.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, duration, percent, plural, shortName } from "../../app/dashboard/js/format.js";

test("sizes have the largest unit that is not above the number", () => {
  assert.equal(bytes(0), "0 B");
  assert.equal(bytes(999), "999 B");
  assert.equal(bytes(1000), "1000 B");
  assert.equal(bytes(1024), "1 KiB");
  assert.equal(bytes(524_288_000), "500 MiB");
});

test("durations have two units at most", () => {
  assert.equal(duration(null), "–");
  assert.equal(duration(0.25), "250 ms");
  assert.equal(duration(2.06), "2.1 s");
  assert.equal(duration(75), "1 min 15 s");
  assert.equal(duration(3_720), "1 h 2 min");
});

test("shares have a decimal only where it tells something", () => {
  assert.equal(percent(0), "0 %");
  assert.equal(percent(0.0345), "3.5 %");
  assert.equal(percent(0.5), "50 %");
});

test("one thing is written in the singular", () => {
  assert.equal(plural(1, "row"), "1 row");
  assert.equal(plural(2, "row"), "2 rows");
  assert.equal(plural(0, "entry", "entries"), "0 entries");
});

test("an address is named by its last part", () => {
  assert.equal(shortName("orders.csv"), "orders.csv");
  assert.equal(shortName("a/b.csv"), "a/b.csv");
  assert.equal(shortName("https://example.org/2026/orders.csv?key=1/2"), "orders.csv");
  assert.equal(shortName("s3://bucket/in/*.csv"), "*.csv");
  assert.equal(shortName("s3://bucket/in/"), "in");
  assert.equal(shortName("https://example.org/"), "https://example.org/");
});
