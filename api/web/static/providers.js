/** The choice of who answers: out of GET /providers, for the next question, remembered.
 *
 * Those that do not answer now are listed but cannot be chosen; with one left there is no choice to show.
 */

import { getProviders } from "./api.js";
import { $, h } from "./dom.js";
import { saved } from "./state.js";

const FRESH_MS = 15_000;

export class ProviderChoice {
  #usable = [];
  #loadedAt = -Infinity;
  shown = false; // the operator's words: only where the settings ask for them

  constructor() {
    this.select = $("provider");
    this.select.addEventListener("change", () => { saved.provider = this.select.value; });
  }

  /** Fills the list, unless it is still fresh. Without an answer the list stays as it is. */
  async refresh() {
    if (!this.shown || performance.now() - this.#loadedAt < FRESH_MS) return;
    this.#loadedAt = performance.now();
    try {
      this.#fill(await getProviders());
    } catch { /* the server's default answers then */ }
  }

  #fill({ default: standard, providers }) {
    const chosen = this.several ? this.select.value : saved.provider;
    this.#usable = providers.filter(({ healthy }) => healthy !== false).map(({ name }) => name);
    this.select.replaceChildren(...providers.map(optionOf));
    this.select.value = [chosen, standard].find((name) => this.#usable.includes(name)) ?? this.#usable[0];
    $("provider-box").hidden = !this.several;
  }

  get several() { return this.#usable.length > 1; }

  /** What to send: nothing where there is no choice, so that the server decides. */
  get value() { return this.several ? this.select.value : undefined; }
}

function optionOf({ name, model, healthy }) {
  const named = model && !model.startsWith(name) ? `${name} · ${model}` : name;
  const down = healthy === false;
  return h("option", { value: name, disabled: down }, down ? `${named} (응답 없음)` : named);
}
