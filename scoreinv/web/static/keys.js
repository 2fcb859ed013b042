// The keyboard: actions by key. Fields that are typed in keep their keys.

// actions: { "ctrl+z": () => {}, "[": () => {}, ... }; space(held) is told when space goes down and up.
export function listen(actions, space) {
  const typing = (event) => event.target.matches?.("select, input:not([type=range]):not([type=radio])");
  window.addEventListener("keydown", (event) => {
    if (typing(event)) return;
    if (event.code === "Space" && !event.target.matches?.("button, input[type=radio]")) {
      event.preventDefault();
      space(true);
      return;
    }
    const key = key_of(event);
    const letter = /^[a-z]$/.test(key);
    if (event.altKey && (letter || key.length > 1)) return; // the browser's own
    const control = (event.ctrlKey || event.metaKey) && !event.altKey; // both are AltGr on some systems
    const action = actions[`${control ? "ctrl+" : ""}${event.shiftKey && letter ? "shift+" : ""}${key}`];
    if (!action) return;
    event.preventDefault();
    action();
  });
  // What was clicked does not keep the keyboard: else space would press it again in place of panning.
  window.addEventListener("click", (event) => event.detail && event.target.closest?.("button, input[type=radio]") && document.activeElement.blur());
  window.addEventListener("keyup", (event) => event.code === "Space" && space(false));
  window.addEventListener("blur", () => space(false));
}

// What is printed on the key, by which [ and ] may need Alt; of other alphabets, what is there on a Latin keyboard.
function key_of({ key, code }) {
  if (key.length > 1) return key;
  if (key < "\x80") return key.toLowerCase();
  return { BracketLeft: "[", BracketRight: "]" }[code] ?? code.replace(/^Key/, "").toLowerCase();
}
