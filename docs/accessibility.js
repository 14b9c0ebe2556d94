// The search dialog of the theme has no accessible name, and code that scrolls cannot be reached with the keyboard.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
document.querySelectorAll("pre > code").forEach((code) => code.setAttribute("tabindex", "0"));
