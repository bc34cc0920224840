// Plays a calculation step by step. All steps stand on the page from the start: without this module nothing is missing.

import { element } from "./report_view.js";
import { pageWords } from "./words.js";

const PAUSE_MS = 1600;
const NONE = -1;

/** Controls above one list of steps. */
export class Player {
  constructor(list, stillness = globalThis.matchMedia("(prefers-reduced-motion: reduce)")) {
    this.list = list;
    this.steps = [...list.children];
    this.words = pageWords(list.dataset.lang ?? document.documentElement.lang.slice(0, 2));
    this.stillness = stillness;
    this.at = NONE;
    this.timer = null;
    this.build();
    this.show(NONE);
  }

  build() {
    const button = (name, act) => {
      const made = element("button", { type: "button", class: "button small" }, this.words[name]);
      made.addEventListener("click", act);
      return made;
    };
    this.play = button("start", () => this.toggle());
    this.next = button("step", () => this.stepTo(this.at + 1));
    this.back = button("back", () => this.stepTo(NONE));
    this.place = element("span", { class: "player-place", role: "status", "aria-live": "polite" });
    this.bar = element("div", { class: "player", role: "group", "aria-label": this.words.start }, this.play, this.next, this.back, this.place);
    this.bar.addEventListener("keydown", (event) => this.key(event));
    this.list.before(this.bar);
    this.list.classList.add("playable");
  }

  key(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    this.stepTo(this.at + by);
  }

  /** Start, or pause, or go on. Where the reader wants nothing to move, all steps are shown at once. */
  toggle() {
    if (this.timer !== null) this.pause();
    else if (this.stillness.matches) this.show(this.steps.length - 1);
    else {
      if (this.at >= this.steps.length - 1) this.at = NONE;
      this.run();
    }
  }

  run() {
    this.show(this.at + 1);
    this.timer = this.at < this.steps.length - 1 ? setTimeout(() => this.run(), PAUSE_MS) : null;
    this.tell();
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = null;
    this.tell();
  }

  stepTo(at) {
    this.pause();
    this.show(Math.max(NONE, Math.min(at, this.steps.length - 1)));
  }

  show(at) {
    this.at = at;
    this.steps.forEach((step, place) => {
      step.classList.toggle("now", place === at);
      step.classList.toggle("done", place < at);
      step.classList.toggle("later", at !== NONE && place > at);
      if (place === at) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    });
    if (at !== NONE) this.bringIntoView(this.steps[at]);
    this.tell();
    this.list.dispatchEvent(new CustomEvent("metertree:step", { bubbles: true, detail: { index: at, count: this.steps.length } }));
    if (at === this.steps.length - 1) this.list.dispatchEvent(new CustomEvent("metertree:played", { bubbles: true }));
  }

  bringIntoView(step) {
    const { top, bottom } = step.getBoundingClientRect();
    if (top < 0 || bottom > globalThis.innerHeight) step.scrollIntoView({ block: "center", behavior: this.stillness.matches ? "auto" : "smooth" });
  }

  tell() {
    const { words } = this;
    this.play.textContent = this.timer !== null ? words.pause : this.stillness.matches ? words.whole : words.start;
    this.next.disabled = this.at >= this.steps.length - 1;
    this.back.disabled = this.at === NONE;
    this.place.textContent = this.at === NONE ? "" : words.of(this.at + 1, this.steps.length);
  }
}

/** Give every list of steps its player. */
export function playSteps(root = document) {
  return [...root.querySelectorAll("[data-player]")].filter((list) => list.children.length).map((list) => new Player(list));
}
