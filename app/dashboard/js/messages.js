// Translates the text of the page. The English text is the key, so English needs no catalogue.
//
// A language is a file, `messages/<language>.json`: {English text: translation}. A text that
// depends on a number, such as "{count} rows", has a translation for each plural category of
// the language: {"one": "{count} Zeile", "other": "{count} Zeilen"}.

const chosen = language(document.documentElement.dataset.languages ?? "", navigator.languages);
const catalogue = chosen ? await load(chosen) : {};
if (chosen) document.documentElement.lang = chosen;
/** The language of the page, for numbers and dates. */
export const locale = chosen ?? "en";
const categories = new Intl.PluralRules(locale);

/** Returns the first preferred language that has a catalogue; null means English. `available` is a
 *  list separated by spaces. */
export function language(available, preferred) {
  const names = available.split(" ").filter(Boolean);
  for (const name of preferred) {
    const [base] = name.toLowerCase().split("-");
    if (base === "en") return null;
    if (names.includes(base)) return base;
  }
  return null;
}

async function load(name) {
  const response = await fetch(new URL(`../messages/${name}.json`, import.meta.url));
  return response.ok ? await response.json() : {};
}

/** Returns `text` in the language of the page. `{name}` in it stands for `values.name`. */
export function t(text, values = {}) {
  const translated = catalogue[text] ?? text;
  return withValues(typeof translated === "string" ? translated : translated.other, values);
}

/** Returns the text for `value`, which is formatted as `count`: `one` or `many` in English,
 *  otherwise the translation of `many` for the plural category of the number. */
export function tCount(value, count, one, many) {
  const translated = catalogue[many];
  if (translated === undefined) return withValues(value === 1 ? one : many, { count });
  if (typeof translated === "string") return withValues(translated, { count });
  return withValues(translated[categories.select(value)] ?? translated.other, { count });
}

const withValues = (text, values) =>
  text.replace(/\{(\w+)\}/g, (placeholder, name) => values[name] ?? placeholder);
