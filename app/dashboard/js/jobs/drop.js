// The place for files: dropped, chosen, pasted as a table, or at an address.

import { button, h, icon, say } from "../dom.js";
import { bytes } from "../format.js";
import { system } from "../main.js";
import { t } from "../messages.js";
import { fail } from "../toast.js";

/** Sends a file. The rows of uploads are loaded with the first one. */
const send = (file, options) =>
  import("./uploads_list.js").then(({ start }) => start(file, options, choose), fail);

/** The import sheet, which is loaded when it is first opened. */
const withSheet = (use) => import("../sheet.js").then(use, fail);

/** Opens the import sheet for these files. */
const choose = (files, settings = {}) =>
  withSheet(({ importFiles }) => importFiles(files, send, settings));

/** {node, choose(), send(files, settings), dispose()}; `choose` opens the file dialog, `send` the import
 *  sheet for files. */
export function dropZone() {
  const files = h("input.hidden", {
    type: "file",
    multiple: true,
    id: "files",
    "aria-label": t("Files to upload"),
    tabindex: -1,
    onchange: () => (choose([...files.files]), (files.value = "")),
  });
  const limit = h("p.muted", {}, t("CSV, JSON, JSON Lines or workbooks, plain or compressed"));
  system().then(
    (about) =>
      say(
        limit,
        t("CSV, JSON, JSON Lines or workbooks, plain or compressed, up to {size} each", {
          size: bytes(about.limits.max_upload_bytes),
        }),
      ),
    fail,
  );
  const pasteTable = () => withSheet((sheet) => sheet.pasteTable(send));
  const openAddress = () => withSheet((sheet) => sheet.importAddress());
  const node = h(
    "section.drop",
    { "aria-label": t("Upload") },
    h(
      "div.drop-text",
      {},
      icon("upload"),
      h(
        "div",
        {},
        h(
          "p.lead",
          {},
          t("Drop files here, "),
          button(t("choose files"), () => files.click(), { kind: "link" }),
          ", ",
          button(t("paste a table"), pasteTable, { kind: "link" }),
          t(" or "),
          button(t("read from an address"), openAddress, { kind: "link" }),
        ),
        limit,
      ),
    ),
    files,
  );
  let depth = 0;
  const over = (event) => {
    if (event.dataTransfer?.types.includes("Files"))
      node.classList.toggle("over", (depth += 1) > 0);
  };
  const out = () => node.classList.toggle("over", (depth = Math.max(0, depth - 1)) > 0);
  const dropped = (event) => {
    depth = 0;
    node.classList.remove("over");
    if (event.dataTransfer?.files.length) choose([...event.dataTransfer.files]);
  };
  /** Text with several cells or lines that is pasted anywhere but in a field. */
  const pasted = (event) => {
    if (event.target.closest?.("input, textarea, select, dialog")) return;
    if (event.clipboardData.files.length) return choose([...event.clipboardData.files]);
    const text = event.clipboardData.getData("text/plain");
    if (/[\t\n]/.test(text.trim())) withSheet((sheet) => choose([sheet.pastedFile(text)]));
  };
  const listeners = { dragenter: over, dragleave: out, drop: dropped, paste: pasted };
  for (const [name, listener] of Object.entries(listeners)) addEventListener(name, listener);
  return {
    node,
    choose: () => files.click(),
    send: choose,
    dispose() {
      for (const [name, listener] of Object.entries(listeners)) removeEventListener(name, listener);
    },
  };
}
