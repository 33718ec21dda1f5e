/* Light or dark: the system's choice until the seller makes one, which is remembered.
   A classic script in the head, so that the first paint already has the right colours. */
(() => {
  const KEY = "smartstore.theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  const stored = () => {
    try { return localStorage.getItem(KEY); } catch { return null; }
  };
  const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

  function show() {
    const isDark = dark();
    root.classList.toggle("dark", isDark);
    const meta = document.querySelector('meta[name="theme-color"]');
    if (meta) meta.content = isDark ? "#111412" : "#f6f8f7";
    const button = document.getElementById("theme");
    if (button) button.setAttribute("aria-label", isDark ? "밝은 화면으로 바꾸기" : "어두운 화면으로 바꾸기");
  }

  const saved = stored();
  if (saved === "light" || saved === "dark") root.dataset.theme = saved;
  show();
  system.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", () => {
    show();
    document.getElementById("theme").addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem(KEY, root.dataset.theme); } catch { /* private mode: this page only */ }
      show();
    });
  });
})();
