// Moments to come, in words.

import { locale, t } from "./messages.js";

const DAY_MS = 86_400_000;

/** Returns formatters of one time zone; a zone that the browser does not know is taken for UTC. */
function formats(zone) {
  const make = (options) => {
    try {
      return new Intl.DateTimeFormat(locale, { ...options, timeZone: zone });
    } catch {
      return new Intl.DateTimeFormat(locale, { ...options, timeZone: "UTC" });
    }
  };
  return {
    key: make({ year: "numeric", month: "numeric", day: "numeric" }),
    clock: make({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
    weekday: make({ weekday: "short" }),
    date: make({ day: "numeric", month: "short" }),
  };
}

/** Returns "Tomorrow 02:00, Wed 02:00, Thu 02:00" for moments as ISO texts, in `zone`. A day is
 *  named once for consecutive moments. */
export function momentsInWords(moments, zone, now = new Date()) {
  const { key, clock, weekday, date } = formats(zone);
  const today = key.format(now);
  const tomorrow = key.format(new Date(now.getTime() + DAY_MS));
  let named = "";
  return moments
    .map((iso) => {
      const moment = new Date(iso);
      const day = key.format(moment);
      const time = clock.format(moment);
      if (day === named) return time;
      named = day;
      let name = date.format(moment);
      if (day === today) name = t("Today");
      else if (day === tomorrow) name = t("Tomorrow");
      else if (moment.getTime() - now.getTime() < 6 * DAY_MS) name = weekday.format(moment);
      return `${name} ${time}`;
    })
    .join(", ");
}

/** Returns a rule for cron as "every Monday at 06:00"; the rule itself if it is of another form. */
export function cronInWords(rule) {
  const [minute, hour, day, month, weekday, ...rest] = rule.trim().split(/\s+/);
  const isNumber = (text) => /^\d{1,2}$/.test(text ?? "");
  if (rest.length || month !== "*" || !isNumber(minute)) return rule;
  const minutes = minute.padStart(2, "0");
  if (hour === "*" && day === "*" && weekday === "*")
    return t("every hour at minute {minute}", { minute: minutes });
  if (!isNumber(hour)) return rule;
  const time = `${hour.padStart(2, "0")}:${minutes}`;
  if (day === "*" && weekday === "*") return t("every day at {time}", { time });
  if (day === "*" && weekday === "1-5") return t("Monday to Friday at {time}", { time });
  if (day === "*" && /^[0-7]$/.test(weekday))
    return t("every {weekday} at {time}", { weekday: weekdayName(Number(weekday)), time });
  if (isNumber(day) && weekday === "*")
    return t("on day {day} of each month at {time}", { day: Number(day), time });
  return rule;
}

/** The name of a weekday; 0 and 7 are Sunday. */
function weekdayName(number) {
  const sunday = Date.UTC(2026, 2, 1);
  const long = new Intl.DateTimeFormat(locale, { weekday: "long", timeZone: "UTC" });
  return long.format(sunday + (number % 7) * DAY_MS);
}
