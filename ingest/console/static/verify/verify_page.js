// verify.html: a file is dropped or chosen, and checked on this device with the keys in the field.

import { Malformed, fromBase64, fromHex, hex } from "./octets.js";
import { money } from "./numbers.js";
import { element, linesView, reportView } from "./report_view.js";
import { Seals, algorithmOf } from "./seals.js";
import { verifyFile } from "./verifier.js";
import { pageWords } from "./words.js";

const FILE_OCTETS_MAX = 64 * 1024 * 1024;
const SEALS = new Seals();

/** Raw keys of the text of the field: lines of hexadecimal digits, and PEM. Throws Malformed. */
export function keysOf(text) {
  const keys = [];
  const rest = text.replace(/-----BEGIN PUBLIC KEY-----([^-]*)-----END PUBLIC KEY-----/g, (_, body) => {
    // SubjectPublicKeyInfo ends with the key: 32 octets behind 12 for Ed25519, the point behind 26 for P-256.
    const octets = fromBase64(body.replace(/\s+/g, ""));
    keys.push(octets.subarray(octets.length === 44 ? 12 : 26));
    return "";
  });
  keys.push(...rest.split(/\n/).map((line) => line.trim()).filter(Boolean).map(fromHex));
  keys.forEach(algorithmOf);
  return keys;
}

async function fingerprint(key) {
  return hex(await SEALS.sha256(key)).replace(/(.{4})(?=.)/g, "$1 ");
}

class Page {
  constructor(main) {
    this.main = main;
    this.language = new URLSearchParams(location.search).get("lang") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
    this.text = main.dataset.keys.split(" ").filter(Boolean).join("\n");
    this.embedded = this.text !== "";
    this.file = null;
    this.build();
  }

  build() {
    const words = pageWords(this.language);
    document.documentElement.lang = this.language === "zh" ? "zh-Hans" : "en";
    document.title = `${words.title} · Metertree`;
    const turn = element("button", { type: "button", class: "quiet", lang: this.language === "zh" ? "en" : "zh-Hans" }, words.language);
    turn.addEventListener("click", () => this.turn());
    const head = element("header", {}, element("div", {}, element("h1", {}, words.title), element("p", { class: "soft" }, words.lead)), turn);
    this.result = element("section", { class: "verify-report", role: "status", "aria-live": "polite" });
    this.main.replaceChildren(head, this.dropZone(words), this.result, this.keyField(words), this.explanation(words));
    this.showKeys();
  }

  dropZone(words) {
    const input = element("input", { type: "file", accept: ".json,application/json", class: "unseen" });
    input.addEventListener("change", () => this.take(input.files[0]));
    const zone = element("label", { class: "drop" }, element("b", {}, words.drop), element("span", { class: "choose" }, words.choose), input);
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      this.take(event.dataTransfer.files[0]);
    });
    return zone;
  }

  keyField(words) {
    this.field = element("textarea", { rows: "2", spellcheck: "false", autocomplete: "off", "aria-describedby": "key-note" });
    this.field.value = this.text;
    this.field.addEventListener("input", () => this.retyped());
    this.prints = element("p", { class: "prints" });
    const note = element("p", { class: "soft", id: "key-note" }, this.embedded ? words.keyHeld : words.keyNone, " ", words.keyNote);
    return element("section", { class: "card" }, element("label", {}, element("b", {}, words.key), this.field), this.prints, note);
  }

  explanation(words) {
    const steps = words.howSteps.map((step) => element("li", {}, step));
    return element("section", { class: "soft" }, element("h2", {}, words.how), element("ol", {}, ...steps));
  }

  turn() {
    this.language = this.language === "zh" ? "en" : "zh";
    this.build();
    if (this.file !== null) this.check();
  }

  async retyped() {
    this.text = this.field.value;
    await this.showKeys();
    if (this.file !== null) await this.check();
  }

  keys() {
    try {
      return keysOf(this.text);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      return null;
    }
  }

  async showKeys() {
    const words = pageWords(this.language);
    const keys = this.keys();
    this.prints.classList.toggle("broken", keys === null);
    if (keys === null) this.prints.textContent = words.keyWrong;
    else this.prints.textContent = (await Promise.all(keys.map(fingerprint))).map((print) => `${words.fingerprint} ${print}`).join("\n");
  }

  async take(file) {
    if (file === undefined) return;
    if (file.size > FILE_OCTETS_MAX) {
      this.result.replaceChildren(element("p", { class: "broken" }, pageWords(this.language).tooLarge));
      return;
    }
    this.file = new Uint8Array(await file.arrayBuffer());
    await this.check();
  }

  async check() {
    const words = pageWords(this.language);
    this.result.replaceChildren(element("p", {}, words.checking));
    const report = await verifyFile(this.file, this.keys() ?? [], SEALS);
    const shown = [reportView(report, this.language, await SEALS.means())];
    if (report.statement !== null) shown.unshift(this.summary(report, words), linesView(report, this.language));
    shown.unshift(shown.pop());
    this.result.replaceChildren(...shown);
    this.main.dataset.verdict = report.holds ? "holds" : "broken";
    this.main.dispatchEvent(new CustomEvent("metertree:verified", { bubbles: true }));
  }

  summary(report, words) {
    const { statement } = report;
    const root = hex(statement.commitment).replace(/(.{4})(?=.)/g, "$1 ");
    const entries = [
      [words.number, statement.number], [words.period, statement.label], [words.party, statement.party],
      [words.total, money(statement.total_minor, statement.currency)], [words.standing, report.isFinal ? words.final : words.provisional],
      [words.root, root],
    ];
    const list = element("dl", { class: "facts" }, ...entries.map(([name, said]) => element("div", {}, element("dt", {}, name), element("dd", {}, said))));
    return element("div", {}, list, element("p", { class: "soft" }, words.rootNote));
  }
}

new Page(document.querySelector("main[data-keys]"));
