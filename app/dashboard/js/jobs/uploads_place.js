// The place of the uploads above the list of jobs. What fills it is loaded when it is needed.

import { h } from "../dom.js";
import { t } from "../messages.js";

/** Keys under which tus.js keeps unfinished uploads. */
const UNFINISHED = "granula.upload:";
/** Key under which refused uploads are kept. */
export const REFUSED = "granula.refused";
/** It survives a change of views. */
export const uploads = h("ul.uploads", { "aria-label": t("Uploads") });

function hasStopped() {
  try {
    return Object.keys(localStorage).some((key) => key.startsWith(UNFINISHED) || key === REFUSED);
  } catch {
    return false; // forbidden
  }
}

/** Shows the uploads that were interrupted or refused in this browser. `choose()` lets the user
 *  choose files. */
export async function showStopped(choose) {
  if (hasStopped()) await (await import("./uploads_list.js")).drawStopped(choose);
}
