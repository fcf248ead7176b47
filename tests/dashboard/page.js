// What the modules of the page ask of a browser while they are loaded. Tests of pure functions
// need no more; what draws is tested in tests/acceptance/dashboard, in a real browser.

globalThis.document = { documentElement: { dataset: { languages: "" }, lang: "en" } };
if (globalThis.navigator === undefined) globalThis.navigator = { languages: ["en"] };
