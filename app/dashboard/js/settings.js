// Settings by which a file is read: their fields, and how they are called.

import { field, h, select } from "./dom.js";

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
  ",": "comma ,",
  ";": "semicolon ;",
  "\t": "tab",
  "|": "bar |",
  " ": "space",
  ":": "colon :",
  "||": "two bars ||",
  "\x1f": "none: one column",
};
const QUOTES = { '"': 'double "', "'": "single '", "": "none" };
/** Names of encodings as people know them. */
const ENCODING_NAMES = { cp1252: "Windows-1252", "windows-1252": "Windows-1252", "utf-8": "UTF-8" };
const HEADERS = [0, 1, 2, 3];

export const encodingName = (name) => ENCODING_NAMES[name] ?? name;
export const delimiterName = (value) => DELIMITERS[value] ?? value;
const headerName = (rows) =>
  Number(rows) ? `${rows} ${Number(rows) === 1 ? "row" : "rows"}` : "no header";

/** Says what each setting does, for the button that applies it. */
export function described(settings) {
  const words = {
    encoding: (value) => encodingName(value),
    delimiter: (value) => `delimiter ${delimiterName(value)}`,
    quote: (value) => `quotes ${QUOTES[value] ?? value}`,
    escape: (value) => (value ? `escape ${value}` : "doubled quotes"),
    header_rows: (value) => (Number(value) ? `header of ${headerName(value)}` : headerName(value)),
    skip_rows: (value) => `${value} lines above`,
    skip_initial_space: (value) => (value ? "no spaces before cells" : "spaces kept"),
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
    const usual = unset ?? (detected === undefined ? "Detect" : `Detected: ${detected}`);
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
        placeholder: detected === undefined ? "detect" : `detected: ${detected}`,
        onchange: (event) =>
          onchange(name, event.target.value === "" ? null : Number(event.target.value)),
      }),
    );
  const now = (name, text) => (name in settings ? undefined : text);
  return h(
    "div.form.settings",
    {},
    choice(
      "Format",
      "format",
      [
        ["csv", "CSV"],
        ["json", "JSON"],
        ["jsonl", "JSON Lines"],
      ],
      now("format", dialect.kind && (isCsv ? "CSV" : "JSON")),
    ),
    workbook &&
      field(
        "Sheet",
        h("input", {
          value: settings.sheet ?? null,
          placeholder: workbook.sheet,
          onchange: (event) => onchange("sheet", event.target.value || null),
        }),
        `${workbook.sheets} in the workbook; each becomes a job unless one is named`,
      ),
    choice(
      "Encoding",
      "encoding",
      ENCODINGS.map((name) => [name, encodingName(name)]),
      now("encoding", encoding && encodingName(encoding)),
    ),
    isCsv && [
      choice(
        "Delimiter",
        "delimiter",
        Object.entries(DELIMITERS),
        now("delimiter", dialect.delimiter && delimiterName(dialect.delimiter)),
      ),
      choice(
        "Quotes",
        "quote",
        Object.entries(QUOTES),
        now("quote", dialect.kind && (QUOTES[dialect.quote] ?? dialect.quote)),
      ),
      choice(
        "Header",
        "header_rows",
        HEADERS.map((rows) => [rows, headerName(rows)]),
        now("header_rows", dialect.kind && headerName(dialect.header_rows)),
      ),
      whole("Lines above", "skip_rows", now("skip_rows", dialect.skip_rows)),
      whole("Rows below", "skip_footer", now("skip_footer", dialect.skip_footer)),
      choice("Short and long rows", "on_bad_row", [["keep", "Keep, padded"]], undefined, "Reject"),
    ],
  );
}
