// The theme: as the system has it, light, or dark; remembered where the browser allows it.
(() => {
  "use strict";
  const THEMES = ["auto", "light", "dark"];
  const button = document.getElementById("theme");

  const remembered = () => {
    try {
      return localStorage.getItem("alarm-theme");
    } catch {
      return null; // a page opened from a file may have no storage
    }
  };

  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `◐ ${theme}`;
    button.ariaLabel = `Theme: ${theme}`;
  };

  let theme = THEMES.includes(remembered()) ? remembered() : "auto";
  apply(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    apply(theme);
    try {
      localStorage.setItem("alarm-theme", theme);
    } catch {
      // Not remembered, then.
    }
  });
})();
