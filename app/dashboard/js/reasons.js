// Why rows are rejected, in words: the service names a reason by a code.

import { t } from "./messages.js";

const NAMES = {
  already_there: t("The table already has a row with this key"),
  cell_error: t("A cell of the spreadsheet is an error"),
  check_failed: t("A rule of the table does not hold"),
  column_count: t("Too few or too many cells"),
  csv_bad_quote: t("A quote in the wrong place"),
  csv_unclosed_quote: t("A quote that is never closed"),
  duplicate_key: t("The same name twice in one record"),
  exclusion: t("A rule of the table excludes the row"),
  foreign_key: t("Refers to a row that does not exist"),
  formula_without_value: t("A formula without a stored value"),
  invalid_encoding: t("Bytes that are no text in the encoding of the file"),
  invalid_unicode: t("Characters that cannot be stored"),
  invalid_utf8: t("Bytes that are no UTF-8 text"),
  invalid_value: t("A value that is not allowed"),
  json_row_not_object: t("Not a record with names and values"),
  json_syntax: t("Invalid JSON"),
  json_too_deep: t("Nested too deeply"),
  json_truncated: t("The file ends in the middle of a record"),
  line_too_long: t("The line is too long"),
  line_too_short: t("The line is too short"),
  missing_value: t("A required value is missing"),
  ml_refused: t("The model refused the row"),
  not_a_boolean: t("Neither true nor false"),
  not_a_date: t("Not a date"),
  not_a_number: t("Not a number"),
  not_a_time: t("Not a time"),
  not_a_uuid: t("Not a UUID"),
  not_an_integer: t("Not a whole number"),
  not_in_enum: t("Not one of the allowed values"),
  not_in_table: t("Not in the list of values"),
  not_there: t("The table has no row with this key"),
  not_unique: t("The same key in two rows of the file"),
  nul_character: t("A NUL character"),
  null_not_allowed: t("A required value is missing"),
  number_out_of_range: t("A number out of range"),
  out_of_range: t("A number out of range"),
  processing_failed: t("The row could not be processed"),
  refused: t("The database refused the row"),
  row_changed: t("Somebody else corrected the row first"),
  row_too_large: t("The row is too large"),
  text_between_columns: t("Text between two columns"),
  too_long: t("The text is too long"),
  too_many_columns: t("Too many columns"),
  too_many_decimals: t("Too many decimals"),
  too_short: t("The text is too short"),
  value_too_long: t("The text is too long"),
};

/** Returns the words for the code of a reject. A code that this page does not know, such as one of
 *  a processor of your own, is shown as words. */
export function reasonName(code) {
  if (Object.hasOwn(NAMES, code)) return NAMES[code];
  const words = code.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Returns the reasons as [{code, name, count}], the most frequent first. `codes` is the number of
 *  rejects by code. */
export function reasonsOf(codes) {
  return Object.entries(codes)
    .map(([code, count]) => ({ code, name: reasonName(code), count }))
    .sort((a, b) => b.count - a.count || a.name.localeCompare(b.name));
}
