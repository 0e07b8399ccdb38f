// What a page of the course does by itself: no kernel, no network, nothing stored but the choice of theme.
"use strict";

// A region that scrolls can be reached, and so scrolled, by keyboard.
function reachable() {
  for (const each of document.querySelectorAll("pre, .table-scroll, mjx-container[display=true], .math.notranslate.nohighlight, .cell_output, .icrl-stage")) {
    if (each.scrollWidth > each.clientWidth + 1) {
      each.tabIndex = 0;
      if (!each.hasAttribute("role")) { each.setAttribute("role", "group"); each.setAttribute("aria-label", "scrolls sideways"); }
    }
  }
}

// A prediction: what was chosen is noted, and where the answer stands is said. It is kept nowhere.
function predictions() {
  for (const each of document.querySelectorAll("fieldset.prediction")) {
    const status = each.querySelector("[role=status]");
    each.addEventListener("change", (event) => {
      const said = event.target.value.trim();
      status.textContent = said ? `You predicted ${said}. The next run below answers.` : "Choose before you read on.";
    });
  }
}

// A letter's card: at hover and at focus, gone with Escape, and it stays while the pointer is on it.
function cards() {
  for (const link of document.querySelectorAll("a.letter")) {
    const card = document.getElementById(link.getAttribute("aria-describedby"));
    if (!card?.showPopover) continue;
    let leaving = 0;
    const show = () => {
      clearTimeout(leaving);
      for (const other of document.querySelectorAll(".letter-card:popover-open")) if (other !== card) other.hidePopover();
      if (!card.matches(":popover-open")) card.showPopover();
      const at = link.getBoundingClientRect(), size = card.getBoundingClientRect();
      card.style.left = `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`;
      card.style.top = `${at.bottom + size.height + 8 < innerHeight ? at.bottom + 4 : Math.max(8, at.top - size.height - 4)}px`;
    };
    const hide = () => { if (card.matches(":popover-open")) card.hidePopover(); };
    const later = () => { clearTimeout(leaving); leaving = setTimeout(hide, 200); };
    for (const each of [link, card]) { each.addEventListener("pointerenter", show); each.addEventListener("pointerleave", later); }
    link.addEventListener("focus", show);
    link.addEventListener("blur", hide);
    link.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  }
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const card of document.querySelectorAll(".letter-card:popover-open")) card.hidePopover();
  });
  addEventListener("scroll", () => {
    for (const card of document.querySelectorAll(".letter-card:popover-open")) card.hidePopover();
  }, { passive: true });
}

// A command that is copied to the clipboard, or selected where there is none.
function copies() {
  for (const each of document.querySelectorAll(".terminal")) {
    const code = each.querySelector("code"), button = each.querySelector("button");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
}

// The theme's short cut for its search in a pop-up opens the search page instead.
addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || event.key.toLowerCase() !== "k") return;
  event.preventDefault();
  event.stopImmediatePropagation();
  document.querySelector("a[aria-label=Search]")?.click();
}, true);

// Paper is light.
const print = matchMedia("print"), root = document.documentElement;
let shown = root.dataset.theme;
print.addEventListener("change", () => {
  if (print.matches) shown = root.dataset.theme;
  root.dataset.theme = print.matches ? "light" : shown;
});

predictions();
cards();
copies();
reachable();
addEventListener("resize", reachable);
globalThis.MathJax?.startup?.promise?.then(reachable);
addEventListener("load", () => globalThis.MathJax?.startup?.promise?.then(reachable));
