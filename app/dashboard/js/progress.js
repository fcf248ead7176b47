// What a running job is doing, in a line.

import { duration, number, rate } from "./format.js";
import { t } from "./messages.js";

/** Returns the line for a job that has not ended. `pace` is what `paced` returned for it. */
export function progressText(job, pace) {
  if (job.waiting_on) return t("Waits for {what}", { what: job.waiting_on });
  if (job.status === "queued") return t("Waiting in the queue");
  if (!job.progress_percent) return t("Just started");
  return [
    `${number(job.progress_percent)} %`,
    pace?.speed && rate(pace.speed),
    pace && pace.left !== null && timeLeft(pace.left),
  ]
    .filter(Boolean)
    .join(" · ");
}

function timeLeft(seconds) {
  if (seconds < 1) return t("almost done");
  const whole = Math.ceil(seconds);
  return t("{time} left", { time: whole < 60 ? `${whole} s` : duration(whole) });
}
