// The keyboard: actions by key. Fields that are typed in keep their keys.

// actions: { "ctrl+z": () => {}, "[": () => {}, ... }; space(held) is told when space goes down and up.
export function listen(actions, space) {
  const typing = (event) => event.target.matches?.("select, input:not([type=range]):not([type=radio])");
  window.addEventListener("keydown", (event) => {
    if (typing(event)) return;
    if (event.code === "Space" && !event.target.matches?.("button, input, [role=slider]")) {
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
  window.addEventListener("keyup", (event) => event.code === "Space" && space(false));
  window.addEventListener("blur", () => space(false));
}
