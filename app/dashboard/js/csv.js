// Splits one CSV record into cells to show an error. Tolerant, since it gets malformed records.

export function splitRecord(text, { delimiter = ",", quote = '"', escape: escapes = "" }) {
  const cells = [];
  let cell = "";
  let isQuoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (isQuoted) {
      if (escapes && char === escapes && i + 1 < text.length) cell += text[(i += 1)];
      else if (char === quote && text[i + 1] === quote) cell += text[(i += 1)];
      else if (char === quote) isQuoted = false;
      else cell += char;
    } else if (quote && char === quote && cell === "") isQuoted = true;
    else if (text.startsWith(delimiter, i)) {
      cells.push(cell);
      cell = "";
      i += delimiter.length - 1;
    } else cell += char;
  }
  return [...cells, cell.replace(/\r?\n$|\r$/, "")];
}
