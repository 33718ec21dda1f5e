/** The FAQs in service. */

import { h } from "../dom.js";
import { get, query } from "./calls.js";
import { button, field, link, table } from "./parts.js";

const PAGE = 50;

export async function faqs(_, params) {
  const q = params.get("q") ?? "";
  const load = (offset) => get(`faqs?${query({ q, offset, limit: PAGE })}`);
  const page = await load(0);
  const text = h("input", { type: "search", name: "q", value: q, maxlength: "200" });
  const form = h("form", { class: "filters", role: "search", onsubmit: (event) => {
    event.preventDefault();
    location.hash = `#/faqs?${query({ q: text.value })}`;
  } }, field("질문이나 답변에 든 말", text), h("button", { class: "primary", type: "submit" }, "찾기"));
  const list = h("div", {}, rowsOf(page.faqs));
  let shown = page.faqs.length;
  const more = button("더 보기", async () => {
    const next = (await load(shown)).faqs;
    shown += next.length;
    list.append(rowsOf(next));
    more.hidden = shown >= page.total;
  });
  more.hidden = shown >= page.total;
  return [h("h1", {}, "FAQ"), form,
    h("p", { class: "tools-row" }, h("span", { class: "quiet" }, `${page.total}개`), link("새 FAQ 쓰기", "#/faqs/new")), list, more];
}

const rowsOf = (found) => table("FAQ 목록", ["질문", "분류", "상태"], found.map((faq) => [
  h("a", { href: `#/faqs/${encodeURIComponent(faq.id)}` }, faq.question), faq.categories.join(" › "), faq.edited ? h("span", { class: "badge" }, "고침") : ""]));
