/** The console: which view the address names, and the key that opens it. Each view builds its own elements. */

import { $, h } from "../dom.js";
import { saved } from "../state.js";
import { adapters } from "./adapters.js";
import { edits } from "./edits.js";
import { editor } from "./editor.js";
import { faqs } from "./faqs.js";
import { gaps } from "./gaps.js";
import { keys } from "./keys.js";
import { providers } from "./providers.js";
import { question, questions } from "./questions.js";
import { today } from "./today.js";

const VIEWS = [
  [/^today$/, today], [/^questions$/, questions], [/^questions\/(.+)$/, question], [/^gaps$/, gaps],
  [/^faqs$/, faqs], [/^faqs\/new$/, editor], [/^faqs\/(.+)$/, editor], [/^edits$/, edits], [/^providers$/, providers], [/^adapters$/, adapters],
  [/^keys$/, keys],
];
let shown = 0;

async function show() {
  const [path, query] = (location.hash.replace(/^#\/?/, "") || "today").split("?");
  const [pattern, view] = VIEWS.find(([each]) => each.test(path)) ?? VIEWS[0];
  const argument = decodeURIComponent(pattern.exec(path)?.[1] ?? "");
  for (const link of document.querySelectorAll(".rooms a")) {
    const here = path.split("/")[0] === link.hash.slice(2);
    if (here) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else link.removeAttribute("aria-current");
  }
  const ticket = (shown += 1);
  const main = $("view");
  main.setAttribute("aria-busy", "true");
  let content;
  try {
    content = await view(argument, new URLSearchParams(query));
  } catch (error) {
    if (error.status === 401 || error.status === 403) return askForKey(error);
    content = [h("h1", {}, "불러오지 못했어요"), h("p", { role: "alert" }, error.message),
      h("button", { class: "chip", type: "button", onclick: show }, "다시 시도")];
  }
  if (ticket !== shown) return;
  main.replaceChildren(...content);
  main.removeAttribute("aria-busy");
  document.title = `${main.querySelector("h1").textContent} · 운영 콘솔`;
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function askForKey(error) {
  const dialog = $("key-dialog");
  $("view").replaceChildren(h("h1", {}, "운영 콘솔"), h("p", { role: "alert" }, error.message));
  $("view").removeAttribute("aria-busy");
  if (!dialog.open) dialog.showModal();
  $("key-form").onsubmit = () => {
    saved.apiKey = $("key").value.trim();
    $("key").value = "";
    show();
  };
}

addEventListener("hashchange", show);
show();
