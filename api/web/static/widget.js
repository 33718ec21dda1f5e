/** The chat as one script tag for any page, in a shadow root: nothing of the page's styles gets in or out.
 *
 *   <script src="https://faq.example/widget.js" data-key="pk_…" data-lang="ko" data-color="#0a7648" async></script>
 *
 * Attributes: data-key (publishable key), data-lang (ko, en), data-title, data-greeting, data-color,
 * data-position (right, left), data-examples (a|b|c), data-contact (where a person answers), data-open.
 * Needs of a page's policy: script-src and connect-src with the server's origin; no style-src, no frames.
 */
(() => {
  const tag = document.currentScript;
  const BASE = new URL(".", tag.src);
  const KEY = `smartstore.widget ${BASE.host}`;
  const ATTEMPTS = 6;
  const STALL_MS = 40_000;
  const WORDS = {
    ko: {
      title: "FAQ 도우미", open: "FAQ 도우미 열기", close: "닫기", again: "새 대화", label: "질문",
      placeholder: "궁금한 점을 물어보세요", send: "보내기", stop: "멈추기", greeting: "안녕하세요! 스토어를 운영하며 궁금한 점을 물어보세요.",
      searching: "FAQ를 찾고 있어요…", writing: "답하고 있어요…", reconnecting: "다시 잇고 있어요…", offline: "지금은 오프라인이에요. 연결되면 이어서 답할게요.",
      failed: "답변을 받지 못했어요.", retry: "다시 시도", sources: "출처", loading: "불러오는 중…", gone: "불러오지 못했어요.",
      follow: "이어서 물어보기", choices: "이 중에 찾으시는 게 있나요?", up: "도움이 됐어요", down: "도움이 안 됐어요", thanks: "의견 고맙습니다.",
      reach: "연락받을 전화번호나 이메일", pass: "상담원에게 대화 넘기기", passed: "대화를 상담원에게 넘겼어요.",
      contact: "상담원에게 문의하기", cut: "답변이 길어 여기서 끊겼어요. 나머지는 출처에서 볼 수 있어요.", you: "질문", me: "답변", stopped: "멈춘 답변이에요.",
      long: (n) => `${n}자까지 보낼 수 있어요.`,
    },
    en: {
      title: "FAQ assistant", open: "Open the FAQ assistant", close: "Close", again: "New chat", label: "Question",
      placeholder: "Ask a question", send: "Send", stop: "Stop", greeting: "Hello! Ask anything about running your store.",
      searching: "Searching the FAQ…", writing: "Answering…", reconnecting: "Reconnecting…", offline: "You are offline. The answer goes on when you are back.",
      failed: "No answer came.", retry: "Try again", sources: "Sources", loading: "Loading…", gone: "Could not be loaded.",
      follow: "Ask next", choices: "Is it one of these?", up: "Helpful", down: "Not helpful", thanks: "Thanks for telling us.",
      reach: "Phone or e-mail to reach you at", pass: "Pass this chat to a person", passed: "The chat was passed on.",
      contact: "Contact a person", cut: "The answer was cut here; the sources have the rest.", you: "Question", me: "Answer", stopped: "Stopped.",
      long: (n) => `Up to ${n} characters.`,
    },
  };
  const STYLE = `
    :host { all: initial; --accent: #0a7648; color-scheme: light dark; --bg: light-dark(#fff, #191d1b); --text: light-dark(#18201c, #e7ece9);
      --muted: light-dark(#56625b, #a5b1ab); --line: light-dark(#dfe5e1, #333b37); --soft: light-dark(#eef3f0, #232926); }
    * { box-sizing: border-box; }
    [hidden] { display: none !important; }
    .root { position: fixed; z-index: 2147483000; bottom: calc(1rem + env(safe-area-inset-bottom)); right: 1rem; display: flex; flex-direction: column; align-items: flex-end; gap: .75rem;
      font: 16px/1.6 -apple-system, "Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans KR", system-ui, sans-serif; color: var(--text); word-break: keep-all; overflow-wrap: anywhere; }
    .root.left { right: auto; left: 1rem; align-items: flex-start; }
    button, textarea { font: inherit; color: inherit; }
    button { cursor: pointer; }
    :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
    .launch { width: 3.5rem; height: 3.5rem; border: 0; border-radius: 50%; background: var(--accent); color: var(--on, #fff); box-shadow: 0 4px 18px rgb(0 0 0 / 25%); display: grid; place-items: center; }
    svg { width: 1.5rem; height: 1.5rem; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
    .panel { display: flex; flex-direction: column; width: min(23rem, calc(100vw - 2rem)); height: min(36rem, calc(100vh - 7rem)); background: var(--bg); border: 1px solid var(--line); border-radius: 1rem; box-shadow: 0 10px 40px rgb(0 0 0 / 25%); overflow: hidden; }
    header { display: flex; align-items: center; gap: .5rem; padding: .625rem .75rem .625rem 1rem; background: var(--accent); color: var(--on, #fff); }
    h2 { flex: 1; margin: 0; font-size: 1rem; font-weight: 700; }
    header button { display: grid; place-items: center; width: 2.25rem; height: 2.25rem; border: 0; border-radius: .5rem; background: none; color: inherit; }
    header svg { width: 1.25rem; height: 1.25rem; }
    header :focus-visible, .launch:focus-visible { outline-color: currentColor; outline-offset: -4px; }
    .log { flex: 1; overflow-y: auto; overscroll-behavior: contain; padding: .875rem 1rem; display: flex; flex-direction: column; gap: .75rem; font-size: .9375rem; }
    .said { align-self: flex-end; max-width: 85%; margin: 0; padding: .5rem .875rem; border-radius: 1rem 1rem .25rem 1rem; background: var(--soft); white-space: pre-wrap; }
    .reply p { margin: 0 0 .5rem; } .reply ul, .reply ol { margin: 0 0 .5rem; padding-left: 1.25rem; }
    .reply a { color: inherit; }
    .status, .note { color: var(--muted); font-size: .8125rem; }
    .cite { min-width: 1.25rem; height: 1.25rem; margin: 0 .125rem; padding: 0 .25rem; border: 0; border-radius: .375rem; background: var(--soft); font-size: .75rem; font-weight: 700; }
    details { border-top: 1px solid var(--line); font-size: .875rem; } summary { padding: .5rem 0; cursor: pointer; }
    .faq { padding-bottom: .5rem; white-space: pre-wrap; color: var(--muted); }
    .offers { display: grid; gap: .375rem; margin-top: .5rem; }
    .pass { display: grid; gap: .375rem; margin: .5rem 0; padding: 0; border: 0; }
    .pass input { padding: .4375rem .75rem; border: 1px solid var(--line); border-radius: .75rem; background: none; color: inherit; font: inherit; }
    .offers button, .retry, .contact { padding: .4375rem .75rem; border: 1px solid var(--line); border-radius: .75rem; background: none; text-align: left; font-size: .875rem; color: inherit; text-decoration: none; display: block; }
    .offers button:hover { background: var(--soft); }
    .rate { display: flex; gap: .25rem; align-items: center; } .rate button { width: 2rem; height: 2rem; display: grid; place-items: center; border: 0; border-radius: .5rem; background: none; color: var(--muted); }
    .rate button[aria-pressed="true"] { color: var(--text); background: var(--soft); } .rate svg { width: 1.125rem; height: 1.125rem; }
    .compose { display: flex; align-items: flex-end; gap: .5rem; padding: .625rem; border-top: 1px solid var(--line); }
    textarea { flex: 1; min-height: 2.5rem; max-height: 7rem; padding: .4375rem .75rem; border: 1px solid var(--muted); border-radius: .75rem; background: var(--bg); resize: none; field-sizing: content; }
    .compose button { width: 2.5rem; height: 2.5rem; flex: none; border: 0; border-radius: .75rem; background: var(--accent); color: var(--on, #fff); display: grid; place-items: center; } .compose svg { width: 1.25rem; height: 1.25rem; }
    .sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
    @media (max-width: 30rem) { .open .launch { display: none; } .panel { height: min(42rem, calc(100dvh - 2rem)); } }
  `;
  const ICONS = {
    chat: "M4 5h16v11H9l-5 4z", close: "M6 6l12 12M18 6L6 18", send: "M12 19V5M6 11l6-6 6 6", stop: "M7 7h10v10H7z",
    again: "M12 5v14M5 12h14", up: "M7 11v9H4v-9zM7 11l4-7c2 0 3 1 2.500 3L13 10h6l-1.500 10H7", down: "M7 13V4H4v9zM7 13l4 7c2 0 3-1 2.500-3L13 14h6L17.500 4H7",
  };
  const SVG = "http://www.w3.org/2000/svg";

  function h(name, props = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(props)) {
      if (value === undefined || value === false || value === null) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  function icon(name) {
    const svg = document.createElementNS(SVG, "svg");
    const path = document.createElementNS(SVG, "path");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", ICONS[name]);
    svg.append(path);
    return svg;
  }

  // What survives a navigation, in this tab: the conversation, the turn under way, whether it is open.
  const kept = { session: null, pending: null, open: false };
  try { Object.assign(kept, JSON.parse(sessionStorage.getItem(KEY))); } catch { /* none */ }
  const keep = (changes) => {
    Object.assign(kept, changes);
    try { sessionStorage.setItem(KEY, JSON.stringify(kept)); } catch { /* this page only */ }
  };

  class Refused extends Error {
    constructor(status, message) { super(message); this.status = status; }
  }

  async function request(path, { method, body, headers, signal } = {}) {
    const auth = tag.dataset.key ? { Authorization: `Bearer ${tag.dataset.key}` } : {};
    const type = body ? { "Content-Type": "application/json" } : {};
    const response = await fetch(new URL(path, BASE), {
      method, signal, credentials: "omit", headers: { ...auth, ...type, ...headers }, body: body && JSON.stringify(body),
    });
    if (response.ok) return response;
    let detail = "";
    try { detail = (await response.json()).detail; } catch { /* the status has to do */ }
    throw new Refused(response.status, detail || `HTTP ${response.status}`);
  }

  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let buffer = "";
    try {
      for (;;) {
        let timer;
        const stall = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("stalled")), STALL_MS); });
        const { done, value } = await Promise.race([reader.read(), stall]).finally(() => clearTimeout(timer));
        if (done) return;
        const blocks = (buffer + value).split(/\r?\n\r?\n/);
        buffer = blocks.pop();
        for (const block of blocks) {
          const fields = {};
          for (const line of block.split(/\r?\n/)) {
            const at = line.indexOf(":");
            if (at > 0) fields[line.slice(0, at)] = (fields[line.slice(0, at)] ?? "") + line.slice(at + 1).trimStart();
          }
          if (fields.data) yield { id: Number(fields.id), type: fields.event, data: JSON.parse(fields.data) };
        }
      }
    } finally { reader.cancel().catch(() => {}); }
  }

  const INLINE = /\[(\d{1,2})\]|\*\*([^*\n]+)\*\*|`([^`\n]+)`|(https?:\/\/[\w\-.~:/?#@!$&'()+,;=%]*[\w\-~/#=%])/g;

  /** Lines in a row that cite the same say so once, at the last of them. */
  function once(text) {
    const lines = text.split("\n");
    const cited = (line) => /((?:\s*\[\d{1,2}\])+)\s*$/.exec(line ?? "")?.[1].replace(/\s/g, "");
    return lines.map((line, n) => {
      const next = lines.slice(n + 1).find((each) => each.trim());
      return cited(line) && cited(line) === cited(next) ? line.replace(/(?:\s*\[\d{1,2}\])+\s*$/, "") : line;
    }).join("\n");
  }

  /** Answer text as elements: paragraphs, lists, emphasis, links, citations. Text stays text. */
  function rich(root, text, cite) {
    root.replaceChildren();
    let list = null;
    for (const line of once(text).split("\n")) {
      const item = /^\s*(?:[·•\-*]|(\d{1,2})[.)])\s+(.*)$/.exec(line);
      if (item) {
        const kind = item[1] ? "OL" : "UL";
        if (list?.tagName !== kind) root.append((list = h(kind, item[1] ? { start: item[1] } : {})));
        list.append(h("li", {}, ...inline(item[2], cite)));
      } else if (line.trim()) {
        list = null;
        const head = /^#{1,4}\s+(.*)$/.exec(line);
        root.append(h("p", {}, ...(head ? [h("strong", {}, head[1])] : inline(line.trim(), cite))));
      }
    }
  }

  function inline(text, cite) {
    const parts = [];
    let end = 0;
    for (const match of text.matchAll(INLINE)) {
      const [whole, n, strong, code, url] = match;
      const node = n ? cite(Number(n)) : strong ? h("strong", {}, strong) : code ? h("code", {}, code)
        : h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, url);
      if (!node) continue;
      parts.push(text.slice(end, match.index), node);
      end = match.index + whole.length;
    }
    return [...parts, text.slice(end)];
  }

  class Widget {
    constructor(page) {
      const set = tag.dataset;
      this.lang = WORDS[set.lang] ? set.lang : document.documentElement.lang.startsWith("en") ? "en" : "ko";
      this.words = WORDS[this.lang];
      this.contact = set.contact || page.contact_url || "";
      this.takes = page.hand_over;
      this.limit = page.max_question_chars || 2000;
      const title = set.title || (this.lang === "ko" && page.name) || this.words.title;
      this.greeting = set.greeting || (this.lang === "ko" && page.greeting) || this.words.greeting;
      this.examples = set.examples ? set.examples.split("|") : this.lang === "ko" ? page.examples ?? [] : [];
      this.host = h("smartstore-widget", { lang: this.lang });
      const shadow = this.host.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
      shadow.adoptedStyleSheets = [sheet];
      this.colour(set.color || page.color);
      this.build(title, set.position);
      shadow.append(this.root);
      document.body.append(this.host);
    }

    /** The accent, with white or black upon it: whichever can be read better. */
    colour(value) {
      const hex = /^#([\da-f]{2})([\da-f]{2})([\da-f]{2})$/i.exec(value ?? "");
      if (!hex) return;
      const [r, g, b] = hex.slice(1).map((part) => parseInt(part, 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      const light = 0.2126 * r + 0.7152 * g + 0.0722 * b;
      this.host.style.setProperty("--accent", value);
      this.host.style.setProperty("--on", 1.05 / (light + 0.05) >= (light + 0.05) / 0.05 ? "#fff" : "#000");
    }

    build(title, position) {
      const { words } = this;
      this.log = h("div", { class: "log", tabindex: "0", role: "region", "aria-label": title });
      this.box = h("textarea", { id: "q", rows: "1", placeholder: words.placeholder, "aria-label": words.label, enterkeyhint: "send" });
      this.button = h("button", { type: "submit", "aria-label": words.send }, icon("send"));
      this.live = h("div", { class: "sr", role: "status", "aria-live": "polite" });
      const form = h("form", { class: "compose", onsubmit: (event) => { event.preventDefault(); if (this.turn) this.stop(); else this.send(); } }, this.box, this.button);
      this.box.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
        event.preventDefault();
        if (!this.turn) this.send();
      });
      this.panel = h("section", { class: "panel", role: "dialog", "aria-label": title, hidden: true },
        h("header", {}, h("h2", {}, title),
          h("button", { type: "button", "aria-label": words.again, onclick: () => this.startOver() }, icon("again")),
          h("button", { type: "button", "aria-label": words.close, onclick: () => this.show(false) }, icon("close"))),
        this.log, form);
      this.launch = h("button", { class: "launch", type: "button", "aria-label": words.open, "aria-expanded": "false", onclick: () => this.show(this.panel.hidden) }, icon("chat"));
      this.root = h("div", { class: position === "left" ? "root left" : "root" }, this.panel, this.launch, this.live);
      this.root.addEventListener("keydown", (event) => { if (event.key === "Escape" && !event.isComposing) this.show(false); });
    }

    show(open, focus = true) {
      this.panel.hidden = !open;
      this.root.classList.toggle("open", open);
      this.launch.setAttribute("aria-expanded", String(open));
      this.launch.setAttribute("aria-label", open ? this.words.close : this.words.open);
      keep({ open });
      if (open && !this.restored) this.restore();
      if (focus) (open ? this.box : this.launch).focus();
    }

    /** Brings back this tab's conversation and goes on with the turn under way. */
    async restore() {
      this.restored = true;
      const { pending } = kept;
      this.greet();
      try {
        const turns = kept.session ? (await (await request(`sessions/${kept.session}`)).json()).turns : [];
        for (const turn of turns) {
          // The turn under way is followed below; before its first event only its question is known.
          if (turn.turn_id === pending?.turn || (pending && !pending.turn && turn.question === pending.question) || !turn.final) continue;
          const view = this.begin(turn.question);
          view.sources = turn.sources ?? [];
          view.offers = turn.suggestions ?? [];
          view.turn = turn.turn_id;
          view.text = turn.answer ?? "";
          if (turn.status === "failed") this.fail(view, turn.error?.message);
          else this.finish(view, turn.final, true);
        }
      } catch (error) {
        if (error.status === 404) keep({ session: null });
      }
      if (pending) this.run(this.begin(pending.question), pending);
    }

    greet() {
      const offers = this.examples.map((text) => h("button", { type: "button", onclick: () => this.ask(text) }, text));
      this.log.append(h("div", { class: "reply" }, h("p", {}, this.greeting), offers.length ? h("div", { class: "offers" }, ...offers) : null));
    }

    startOver() {
      this.turn?.abort.abort();
      this.stop();
      this.busy(null);
      keep({ session: null, pending: null });
      this.log.replaceChildren();
      this.greet();
      this.box.focus();
    }

    send() {
      const question = this.box.value.trim();
      if (!question) return;
      if ([...question].length > this.limit) { this.say(this.words.long(this.limit)); return; }
      this.box.value = "";
      this.ask(question);
    }

    ask(question) {
      if (this.turn) return;
      const key = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
      this.run(this.begin(question), { question, key, turn: null, last: 0 });
    }

    begin(question) {
      for (const old of this.log.querySelectorAll(".offers")) old.remove();
      const view = { question, text: "", sources: [], offers: [], kind: "follow_ups", body: h("div"), foot: h("div"), status: h("p", { class: "status" }) };
      const reply = h("article", { class: "reply", "aria-label": this.words.me }, view.status, view.body, view.foot);
      this.log.append(h("p", { class: "said" }, h("span", { class: "sr" }, `${this.words.you}: `), question), reply);
      this.log.scrollTop = this.log.scrollHeight;
      return view;
    }

    async run(view, pending) {
      const current = { view, pending, abort: new AbortController() };
      this.busy(current);
      keep({ pending });
      view.status.textContent = this.words.searching;
      for (let attempt = 0; attempt < ATTEMPTS;) {
        const before = pending.last;
        try {
          if (await this.follow(current)) break;
          throw new Error("lost");
        } catch (error) {
          if (current.abort.signal.aborted) return;
          const away = error instanceof Refused && !(pending.turn && [502, 503, 504].includes(error.status));
          if (away) { this.over(current); this.fail(view, error.message); return; }
          attempt = pending.last > before ? 1 : attempt + 1;
          view.status.textContent = navigator.onLine ? this.words.reconnecting : this.words.offline;
          if (attempt < ATTEMPTS) await new Promise((resolve) => { setTimeout(resolve, 400 * 2 ** attempt); addEventListener("online", resolve, { once: true }); });
          if (attempt >= ATTEMPTS) { this.over(current); this.fail(view); return; }
        }
      }
      this.over(current);
    }

    async follow({ view, pending, abort: { signal } }) {
      // Text so far is only here: after a navigation the turn is read from its first event.
      if (!view.text && !view.sources.length) pending.last = 0;
      const response = pending.turn
        ? await request(`chat/turns/${pending.turn}/events`, { signal, headers: pending.last ? { "Last-Event-ID": String(pending.last) } : {} })
        : await request("chat", { method: "POST", signal, headers: { "Idempotency-Key": pending.key },
            body: { question: pending.question, ...(kept.session ? { session_id: kept.session } : {}) } });
      for await (const { id, type, data } of events(response)) {
        if (signal.aborted) return true;
        if (id) { if (id <= pending.last) continue; pending.last = id; }
        switch (type) {
          case "turn.started": view.turn = pending.turn = data.turn_id; keep({ session: data.session_id || kept.session, pending }); break;
          case "sources": view.sources = data.sources; break;
          case "delta": view.text += data.text; this.draw(view); break;
          case "provider.switched": view.text = ""; this.draw(view); break;
          case "suggestions": view.offers = data.suggestions; view.kind = data.kind ?? "follow_ups"; break;
          case "turn.completed": this.finish(view, data); return true;
          case "error": this.fail(view, data.message); return true;
        }
      }
      return false;
    }

    draw(view) {
      view.status.textContent = this.words.writing;
      const below = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight;
      // A citation or an emphasis that is still half of itself waits.
      rich(view.body, view.text.replace(/(?:\[\d*|\*{1,2}|`)$/, ""), (n) => this.chip(view, n));
      if (below < 80) this.log.scrollTop = this.log.scrollHeight;
    }

    chip(view, n) {
      const source = view.sources.find((each) => each.n === n);
      if (!source) return null;
      return h("button", { class: "cite", type: "button", "aria-label": `${this.words.sources} ${n}: ${source.question}`, onclick: () => {
        const item = view.foot.querySelector(`[data-n="${n}"]`);
        if (item) { item.open = true; item.firstElementChild.focus(); item.scrollIntoView({ block: "nearest" }); }
      } }, String(n));
    }

    finish(view, data, quiet = false) {
      const { words } = this;
      const below = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight;
      view.text = data.answer || view.text;
      rich(view.body, view.text, (n) => this.chip(view, n));
      view.status.remove();
      const cited = view.sources.filter(({ n }) => data.citations?.includes(n));
      const choices = view.kind === "choices" || data.verdict === "unsure";
      const offers = view.offers.map(({ question, text }) => h("button", { type: "button", onclick: () => this.ask(question) }, choices ? question : text));
      const lost = data.verdict === "not_found" || data.intent === "person";
      view.foot.replaceChildren(...[
        data.stopped ? h("p", { class: "note" }, words.stopped) : data.truncated ? h("p", { class: "note" }, words.cut) : null,
        ...cited.map((source) => this.source(source)),
        view.text && view.turn ? this.rating(view) : null,
        lost && /^(https?|mailto|tel):/.test(this.contact) ? h("a", { class: "contact", href: this.contact, target: "_blank", rel: "noopener" }, words.contact) : null,
        lost && this.takes ? this.handOver() : null,
        offers.length ? h("div", { class: "offers", role: "group", "aria-label": choices ? words.choices : words.follow }, ...offers) : null,
      ].filter(Boolean));
      if (!quiet) this.say(view.text.replace(/\s*\[\d+\]/g, ""));
      if (quiet || below < 80) this.log.scrollTop = this.log.scrollHeight;
    }

    source({ n, faq_id: id, question }) {
      const body = h("div", { class: "faq" });
      return h("details", { "data-n": n, ontoggle: async (event) => {
        if (!event.target.open || body.textContent) return;
        body.textContent = this.words.loading;
        try { body.textContent = (await (await request(`faqs/${encodeURIComponent(id)}`)).json()).answer; } catch { body.textContent = this.words.gone; }
      } }, h("summary", {}, `${n}. ${question}`), body);
    }

    /** Passes the conversation to a person, with a place to reach its reader at. */
    handOver() {
      const { words } = this;
      const box = h("input", { maxlength: "200", required: true, "aria-label": words.reach, placeholder: words.reach });
      const note = h("p", { class: "note", role: "status" });
      const form = h("form", { class: "pass", onsubmit: async (event) => {
        event.preventDefault();
        try {
          await request(`sessions/${kept.session}/hand-over`, { method: "POST", body: { contact: box.value.trim() } });
          form.replaceChildren(note);
          note.textContent = words.passed;
        } catch (error) { note.textContent = error.message || words.failed; }
      } }, box, h("button", { class: "retry", type: "submit" }, words.pass), note);
      return form;
    }

    rating(view) {
      const note = h("span", { class: "note" });
      const thumb = (rating) => h("button", { type: "button", "aria-label": this.words[rating], "aria-pressed": "false", onclick: async ({ currentTarget }) => {
        try {
          await request(`chat/turns/${view.turn}/feedback`, { method: "PUT", body: { rating } });
          for (const each of row.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === currentTarget));
          note.textContent = this.words.thanks;
        } catch { note.textContent = this.words.failed; }
      } }, icon(rating));
      const row = h("div", { class: "rate" }, thumb("up"), thumb("down"), note);
      return row;
    }

    fail(view, message) {
      view.status.remove();
      const again = h("button", { class: "retry", type: "button", onclick: () => { if (!this.turn) this.ask(view.question); } }, this.words.retry);
      view.foot.replaceChildren(h("p", { class: "note" }, message || this.words.failed), again);
      this.say(message || this.words.failed);
    }

    stop() {
      const turn = this.turn?.pending.turn;
      if (turn) request(`chat/turns/${turn}`, { method: "DELETE" }).catch(() => {});
    }

    over(current) {
      if (this.turn !== current) return;
      keep({ pending: null });
      this.busy(null);
    }

    busy(turn) {
      this.turn = turn;
      this.button.setAttribute("aria-label", turn ? this.words.stop : this.words.send);
      this.button.replaceChildren(icon(turn ? "stop" : "send"));
    }

    say(text) {
      this.live.textContent = "";
      requestAnimationFrame(() => { this.live.textContent = text; });
    }
  }

  async function start() {
    let page;
    try {
      page = await (await request("page.json")).json();
    } catch (error) {
      console.warn(`smartstore widget: ${BASE.origin} does not serve ${location.origin} (${error.message})`);
      return;
    }
    const widget = new Widget(page);
    if (kept.open || (tag.dataset.open !== undefined && !sessionStorage.getItem(KEY))) widget.show(true, false);
  }

  if (document.body) start();
  else addEventListener("DOMContentLoaded", start);
})();
