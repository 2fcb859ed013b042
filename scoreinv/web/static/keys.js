// Keyboard shortcuts. Text fields keep their keys.

// actions: { "ctrl+z": () => {}, "[": () => {}, ... }; held: { x: (down) => {}, " ": ... }, called when a key goes down
// and up.
export function listen(actions, held) {
  const typing = (event) => event.target.matches?.("select, input:not([type=range], [type=radio], [type=checkbox])");
  window.addEventListener("keydown", (event) => {
    if (typing(event) || document.querySelector("dialog[open]")) return;
    const key = key_of(event);
    if ([" ", "Enter"].includes(key) && event.target.matches?.("button, input, summary")) return;
    if (held[key] && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      held[key](true);
      return;
    }
    const letter = /^[a-z]$/.test(key);
    if (event.altKey && (letter || key.length > 1)) return; // reserved by the browser
    const control = (event.ctrlKey || event.metaKey) && !event.altKey; // both are AltGr on some systems
    const action = actions[`${control ? "ctrl+" : ""}${event.shiftKey && letter ? "shift+" : ""}${key}`];
    if (!action) return;
    event.preventDefault();
    action();
  });
  // Blur a clicked control: else the space bar would press it instead of panning.
  window.addEventListener("click", (event) => event.detail && event.target.closest?.("button, input[type=radio], input[type=checkbox]") && document.activeElement.blur());
  window.addEventListener("keyup", (event) => held[key_of(event)]?.(false));
  window.addEventListener("blur", () => Object.values(held).forEach((callback) => callback(false)));
}

// Returns the character on the key; for non-Latin layouts, that of a Latin keyboard.
function key_of({ key, code }) {
  if (key.length > 1) return key;
  if (key < "\x80") return key.toLowerCase();
  return { BracketLeft: "[", BracketRight: "]" }[code] ?? code.replace(/^Key/, "").toLowerCase();
}
