/** Who answers what the FAQ cannot, as the operator's settings name it. Knows no turn. */

import { request } from "./api.js";
import { h } from "./dom.js";

let page = null;

/** The line below an answer; null where nobody is named, or the answer does not call for it. */
export async function contactLine(lost) {
  page ??= request("page.json").then((response) => response.json()).catch(() => { page = null; return {}; });
  const { contact_text: text = "", contact_url: url = "", contact_always: always = false } = await page;
  if (!(text || url) || !(lost || always)) return null;
  const link = /^(https?|mailto|tel):/.test(url)
    ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, "사람에게 문의하기") : null;
  return h("p", { class: "contact" }, text, text && link ? " " : "", link ?? "");
}
