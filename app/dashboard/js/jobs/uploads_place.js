// The place of the uploads above the list of jobs. What fills it is loaded when it is needed.

import { h } from "../dom.js";
import { t } from "../messages.js";
import { kept } from "./refused.js";

/** Keys under which tus.js keeps unfinished uploads. */
const UNFINISHED = "granula.upload:";
/** It survives a change of views. */
export const uploads = h("ul.uploads", { "aria-label": t("Uploads") });

function hasUnfinished() {
  try {
    return Object.keys(localStorage).some((key) => key.startsWith(UNFINISHED));
  } catch {
    return false; // forbidden
  }
}

/** Shows the uploads that were refused in this tab or interrupted in this browser. `choose(files,
 *  settings)` opens the import sheet. */
export async function showEarlier(choose) {
  if (kept().length) (await import("./uploads_list.js")).drawRefused(choose);
  if (hasUnfinished()) await (await import("./uploads_list.js")).drawInterrupted();
}
