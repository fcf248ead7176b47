// Moments to come, in words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { cronInWords, momentsInWords } from "../../app/dashboard/js/times.js";

const NOW = new Date("2026-11-30T21:00:00Z"); // a Monday

test("the next days are named, and later ones have a date", () => {
  const nightly = ["2026-12-01T02:00:00Z", "2026-12-02T02:00:00Z", "2026-12-03T02:00:00Z"];
  assert.equal(momentsInWords(nightly, "UTC", NOW), "Tomorrow 02:00, Wed 02:00, Thu 02:00");
  assert.equal(momentsInWords(["2027-01-01T06:00:00Z"], "UTC", NOW), "Jan 1 06:00");
});

test("a day is named once", () => {
  const hourly = ["2026-11-30T22:00:00Z", "2026-11-30T23:00:00Z", "2026-12-01T00:00:00Z"];
  assert.equal(momentsInWords(hourly, "UTC", NOW), "Today 22:00, 23:00, Tomorrow 00:00");
});

test("the zone of the schedule counts, not that of the browser", () => {
  assert.equal(momentsInWords(["2026-11-30T23:30:00Z"], "Europe/Berlin", NOW), "Tomorrow 00:30");
});

test("a zone that the browser does not know is taken for UTC", () => {
  assert.equal(momentsInWords(["2026-11-30T23:30:00Z"], "Mars/Olympus", NOW), "Today 23:30");
});

test("no moments are no words", () => {
  assert.equal(momentsInWords([], "UTC", NOW), "");
});

test("a rule of a usual form is said in words, any other is shown", () => {
  for (const [rule, words] of [
    ["0 6 * * 1", "every Monday at 06:00"],
    ["5 23 * * 7", "every Sunday at 23:05"],
    ["0 2 * * *", "every day at 02:00"],
    ["30 * * * *", "every hour at minute 30"],
    ["0 6 * * 1-5", "Monday to Friday at 06:00"],
    ["0 6 1 * *", "on day 1 of each month at 06:00"],
    ["*/5 * * * *", "*/5 * * * *"],
    ["0 6 1 * 1", "0 6 1 * 1"],
    ["0 6 * 3 *", "0 6 * 3 *"],
    ["@daily", "@daily"],
  ])
    assert.equal(cronInWords(rule), words);
});
