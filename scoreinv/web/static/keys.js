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
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const name = `${event.ctrlKey || event.metaKey ? "ctrl+" : ""}${event.shiftKey && /^[a-z]$/.test(key) ? "shift+" : ""}${key}`;
    const action = event.altKey ? undefined : actions[name];
    if (!action) return;
    event.preventDefault();
    action();
  });
  // What was clicked does not keep the keyboard: else space would press it again in place of panning.
  window.addEventListener("click", (event) => event.detail && event.target.closest?.("button, input[type=radio]") && document.activeElement.blur());
  window.addEventListener("keyup", (event) => event.code === "Space" && space(false));
  window.addEventListener("blur", () => space(false));
}
