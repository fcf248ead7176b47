// Settings by which a file is read: their fields, and how they are called.

import { field, h, select } from "./dom.js";
import { plural } from "./format.js";
import { t } from "./messages.js";

const ENCODINGS = [
  "utf-8",
  "windows-1252",
  "iso-8859-15",
  "windows-1250",
  "windows-1251",
  "cp850",
  "mac-roman",
  "utf-16",
  "shift_jis",
  "euc-jp",
  "cp949",
  "gb18030",
  "big5",
];
const DELIMITERS = {
  ",": t("comma ,"),
  ";": t("semicolon ;"),
  "\t": t("tab"),
  "|": t("bar |"),
  " ": t("space"),
  ":": t("colon :"),
  "||": t("two bars ||"),
  "\x1f": t("none: one column"),
};
const QUOTES = { '"': t('double "'), "'": t("single '"), "": t("none") };
/** Names of encodings as people know them. */
const ENCODING_NAMES = { cp1252: "Windows-1252", "windows-1252": "Windows-1252", "utf-8": "UTF-8" };
const HEADERS = [0, 1, 2, 3];
export const FORMATS = { csv: "CSV", fixed: t("Columns between blanks") };

export const encodingName = (name) => ENCODING_NAMES[name] ?? name;
export const delimiterName = (value) => DELIMITERS[value] ?? value;
const headerName = (rows) => (Number(rows) ? plural(Number(rows), "row") : t("no header"));

/** Says what each setting does, for the button that applies it. */
export function described(settings) {
  const words = {
    encoding: (value) => encodingName(value),
    format: (value) => FORMATS[value] ?? value,
    delimiter: (value) => t("delimiter {delimiter}", { delimiter: delimiterName(value) }),
    quote: (value) => t("quotes {quotes}", { quotes: QUOTES[value] ?? value }),
    escape: (value) => (value ? t("escape {value}", { value }) : t("doubled quotes")),
    header_rows: (value) =>
      Number(value) ? t("header of {rows}", { rows: headerName(value) }) : headerName(value),
    skip_rows: (value) => t("{value} lines above", { value }),
    skip_initial_space: (value) => (value ? t("no spaces before cells") : t("spaces kept")),
  };
  return Object.entries(settings)
    .map(([name, value]) => words[name]?.(value) ?? `${name.replaceAll("_", " ")} ${value}`)
    .join(", ");
}

/** The settings as parameters of a request. */
export function parameters(settings) {
  return Object.fromEntries(
    Object.entries(settings)
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([name, value]) => [name, value === "" ? "none" : value]),
  );
}

/** Fields for what may be changed. `preview` is the answer to the last preview or null;
 *  `onchange(name, value)` gets null where detection shall decide. */
export function settingFields(settings, preview, onchange) {
  const dialect = preview?.dialect ?? {};
  const isCsv = dialect.kind !== "json";
  const workbook = preview?.decoding.find((each) => each.sheets);
  const decoded = preview?.decoding.find((each) => each.decoder === "text");
  const encoding = decoded?.encoding || dialect.decoded_from || dialect.encoding;
  const choice = (label, name, options, detected, unset) => {
    const chosen = settings[name];
    const known = options.some(([value]) => String(value) === String(chosen));
    if (chosen !== undefined && !known) options = [...options, [chosen, String(chosen)]];
    const usual =
      unset ?? (detected === undefined ? t("Detect") : t("Detected: {value}", { value: detected }));
    // An empty text is a value of its own, so places stand for the values.
    const place = options.findIndex(([value]) => String(value) === String(chosen));
    const control = select(
      [["", usual], ...options.map(([, text], index) => [index, text])],
      chosen === undefined ? "" : place,
      {
        onchange: (event) =>
          onchange(name, event.target.value === "" ? null : options[event.target.value][0]),
      },
    );
    return field(label, control);
  };
  const whole = (label, name, detected) =>
    field(
      label,
      h("input", {
        type: "number",
        min: 0,
        max: 1000,
        value: settings[name] ?? null,
        placeholder:
          detected === undefined ? t("detect") : t("detected: {value}", { value: detected }),
        onchange: (event) =>
          onchange(name, event.target.value === "" ? null : Number(event.target.value)),
      }),
    );
  const now = (name, text) => (name in settings ? undefined : text);
  return h(
    "div.form.settings",
    {},
    choice(
      t("Format"),
      "format",
      [
        ["csv", "CSV"],
        ["json", "JSON"],
        ["jsonl", "JSON Lines"],
        ["fixed", FORMATS.fixed],
      ],
      now("format", dialect.kind && (FORMATS[dialect.kind] ?? "JSON")),
    ),
    workbook &&
      field(
        t("Sheet"),
        h("input", {
          value: settings.sheet ?? null,
          placeholder: workbook.sheet,
          onchange: (event) => onchange("sheet", event.target.value || null),
        }),
        t("{count} in the workbook; each becomes a job unless one is named", {
          count: workbook.sheets,
        }),
      ),
    choice(
      t("Encoding"),
      "encoding",
      ENCODINGS.map((name) => [name, encodingName(name)]),
      now("encoding", encoding && encodingName(encoding)),
    ),
    isCsv && [
      choice(
        t("Delimiter"),
        "delimiter",
        Object.entries(DELIMITERS),
        now("delimiter", dialect.delimiter && delimiterName(dialect.delimiter)),
      ),
      choice(
        t("Quotes"),
        "quote",
        Object.entries(QUOTES),
        now("quote", dialect.kind && (QUOTES[dialect.quote] ?? dialect.quote)),
      ),
      choice(
        t("Header"),
        "header_rows",
        HEADERS.map((rows) => [rows, headerName(rows)]),
        now("header_rows", dialect.kind && headerName(dialect.header_rows)),
      ),
      whole(t("Lines above"), "skip_rows", now("skip_rows", dialect.skip_rows)),
      whole(t("Rows below"), "skip_footer", now("skip_footer", dialect.skip_footer)),
      choice(
        t("Short and long rows"),
        "on_bad_row",
        [["keep", t("Keep, padded")]],
        undefined,
        t("Reject"),
      ),
    ],
  );
}
