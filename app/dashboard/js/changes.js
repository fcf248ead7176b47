// Changes of cells, and a correction as a file.

/** Returns the changed text of a cell. */
export function changed(text, { kind, find = "", value = "" }) {
  if (kind === "set") return value;
  if (kind === "trim") return text.trim();
  if (kind === "digits") return text.replace(/[^0-9.+-]/g, "");
  return find ? text.replaceAll(find, value) : text;
}

/** Returns a correction as a CSV file: the cells of each row, and its number. */
export function correctionCsv(header, rows) {
  const line = (cells) => cells.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(",");
  return [
    line([...header, "_row"]),
    ...rows.map(({ number, cells }) => line([...cells, String(number)])),
    "",
  ].join("\r\n");
}
