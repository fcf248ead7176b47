// Runs before the first paint, so that a dark page does not flash white.
try {
  const theme = localStorage.getItem("granula.theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  /* storage may be forbidden */
}
