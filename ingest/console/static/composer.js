// The composer: blocks dragged by pointer or moved by keys, beside the same formula as text.
//
// The page works without this file: then the text is written by hand and checked by a button. With it, the board shows
// the formula as blocks, and what either side says is asked of the service while it is written. The text is what is
// sent; blocks are sent as long as the service has not said yet what they read as.

import * as rows from "./formula_rows.js";

const SHOWN_SIGNS = { "*": "×", "/": "÷", "+": "+", "-": "−" };
const VERDICT_MS = 250;
const PREVIEW_MS = 700;
const DRAG_PX = 6;
const REACH_PX = 90;

const form = document.getElementById("compose");
if (form) start(form);

function start(form) {
  const words = JSON.parse(form.dataset.words);
  const inputs = JSON.parse(form.dataset.inputs);
  const units = JSON.parse(form.dataset.units);
  const nodes = JSON.parse(form.dataset.nodes);
  const board = document.getElementById("board");
  const text = form.elements.formula;
  const blocks = form.elements.blocks;
  const said = document.getElementById("said");
  const verdict = document.getElementById("verdict");
  const preview = document.getElementById("preview");
  const state = { root: rows.rowWith(rows.hole()), selected: null, past: [], coming: [], places: new Map(), faults: [] };
  const asked = { number: 0, timer: 0, previewTimer: 0 };
  const made = new Map();
  let drag = null;

  // ---- showing ----

  function show() {
    const place = [...board.querySelectorAll(".block")].indexOf(document.activeElement?.closest(".block"));
    made.clear();
    board.replaceChildren(shownRow(state.root, words.formula));
    // Whoever works by keys stays where he was.
    const stays = made.get(state.selected) || [...board.querySelectorAll(".block")].slice(0, place + 1).pop();
    if (place >= 0) stays.focus();
    state.places = rows.placesOf(state.root);
    markFaults();
    const terms = rows.termsIn(state.root);
    if (!terms.includes(state.selected)) state.selected = null;
    for (const [term, element] of made) element.classList.toggle("selected", term === state.selected);
    for (const button of form.querySelectorAll("[data-act]")) {
      const needs = { undo: state.past.length, redo: state.coming.length }[button.dataset.act] ?? (state.selected ? 1 : 0);
      button.disabled = !needs;
    }
  }

  function shownRow(row, label) {
    const shown = element("span", "row", { role: "group", "aria-label": label });
    row.terms.forEach((term, place) => {
      shown.append(gapAt(row, place));
      if (place > 0) shown.append(signOf(row, place - 1));
      shown.append(shownTerm(term));
    });
    shown.append(gapAt(row, row.terms.length));
    return shown;
  }

  function gapAt(row, place) {
    const gap = element("span", "gap", { "aria-hidden": "true" });
    gap.target = { row, place };
    return gap;
  }

  function signOf(row, place) {
    const select = element("select", "sign", { "aria-label": words.sign });
    for (const sign of rows.SIGNS) {
      const option = element("option", "", { value: sign }, SHOWN_SIGNS[sign]);
      option.selected = row.signs[place] === sign;
      select.append(option);
    }
    select.at = { row, place };
    select.addEventListener("change", () => edit(() => (row.signs[place] = select.value), words.changed));
    return select;
  }

  function shownTerm(term) {
    const shown = {
      hole: shownHole,
      input: shownInput,
      number: shownNumber,
      meter: shownMeter,
    }[term.kind]?.(term) ?? shownHolder(term);
    shown.term = term;
    shown.tabIndex = 0;
    made.set(term, shown);
    return shown;
  }

  function shownHole() {
    return element("span", "block hole", { role: "button", "aria-label": words.hole }, words.hole);
  }

  function shownInput(term) {
    const known = inputs[term.name];
    const block = element("span", `block input ${known ? known.kind : "strange"}`, { role: "button" });
    block.append(element("b", "", {}, known ? known.word : term.name));
    if (known && known.unit) block.append(element("small", "", {}, known.unit));
    if (known) block.title = known.told;
    return block;
  }

  function shownNumber(term) {
    const block = element("span", "block number", { role: "group", "aria-label": words.number });
    const field = element("input", "", { inputmode: "decimal", "aria-label": words.number, size: "4", maxlength: "25" });
    field.value = term.number;
    field.addEventListener("input", () => {
      term.number = field.value.trim().replace("−", "-");
      field.size = Math.max(3, field.value.length);
      field.setAttribute("aria-invalid", String(!rows.isNumber(term.number)));
      changed();
    });
    field.addEventListener("focus", () => remember());
    field.size = Math.max(3, term.number.length);
    const unit = element("select", "unit", { "aria-label": words.unit });
    for (const symbol of ["", ...units]) {
      const option = element("option", "", { value: symbol }, symbol || "–");
      option.selected = symbol === term.unit;
      unit.append(option);
    }
    unit.addEventListener("change", () => edit(() => (term.unit = unit.value), words.changed));
    block.append(grip(), field, unit);
    return block;
  }

  function shownMeter(term) {
    const block = element("span", "block meter", { role: "group", "aria-label": words.meter });
    const select = element("select", "", { "aria-label": words.meter });
    for (const [node, name] of [["", "–"], ...nodes]) {
      const option = element("option", "", { value: node }, name);
      option.selected = node === term.node;
      select.append(option);
    }
    select.addEventListener("change", () => edit(() => (term.node = select.value), words.changed));
    block.append(grip(), element("b", "", {}, words.meter), select);
    return block;
  }

  function grip() {
    return element("span", "grip", { "aria-hidden": "true" });
  }

  function shownHolder(term) {
    const block = element("span", `block holder ${term.kind}`, { role: "group", "aria-label": words[term.kind] });
    block.append(grip());
    if (term.kind !== "group") block.append(element("b", "", {}, term.kind === "minus" ? "−" : words[term.kind]));
    block.append(element("span", "bracket", { "aria-hidden": "true" }, "("));
    term.rows.forEach((row, place) => {
      if (place > 0) block.append(element("span", "comma", { "aria-hidden": "true" }, ","));
      const label = term.kind === "clamp" ? words[`clamp-${place}`] : words.part;
      if (term.kind === "clamp") block.append(element("small", "", {}, label));
      block.append(shownRow(row, label));
    });
    if (term.rows.length < rows.ROWS_MAX[term.kind]) {
      const more = element("button", "more", { type: "button", "aria-label": words.more }, "+");
      more.addEventListener("click", () => edit(() => term.rows.push(rows.rowWith(rows.hole())), words.added));
      block.append(more);
    }
    block.append(element("span", "bracket", { "aria-hidden": "true" }, ")"));
    return block;
  }

  function markFaults() {
    for (const shown of board.querySelectorAll(".wrong")) shown.classList.remove("wrong");
    for (const path of state.faults) {
      const at = state.places.get(path);
      if (!at) continue;
      if (at.term) made.get(at.term)?.classList.add("wrong");
      else for (const sign of board.querySelectorAll(".sign")) {
        if (sign.at.row === at.row && sign.at.place === at.sign) sign.classList.add("wrong");
      }
    }
  }

  // ---- changing ----

  function remember() {
    const now = JSON.stringify(state.root);
    if (state.past[state.past.length - 1] !== now) state.past.push(now);
    if (state.past.length > 100) state.past.shift();
  }

  function edit(change, told) {
    remember();
    state.coming = [];
    change();
    changed();
    show();
    if (told) say(told);
  }

  function undo(from, to) {
    const before = JSON.stringify(state.root);
    while (from.length && from[from.length - 1] === before) from.pop();
    if (!from.length) return;
    to.push(before);
    state.root = JSON.parse(from.pop());
    state.selected = null;
    changed();
    show();
    say(words.undone);
  }

  function changed() {
    // Blocks changed: the text follows as soon as the service says how they read.
    const tree = rows.blocksOf(state.root);
    state.places = rows.placesOf(state.root);
    blocks.value = tree === null ? "" : JSON.stringify(tree);
    if (tree === null) {
      asked.number += 1;
      clearTimeout(asked.timer);
      clearTimeout(asked.previewTimer);
      text.value = "";
      verdict.replaceChildren(element("p", "soft", {}, words.incomplete));
      return;
    }
    soon();
  }

  function add(block) {
    const term = rows.newTerm(block);
    edit(() => {
      const at = state.selected ? rows.find(state.root, state.selected) : null;
      const free = rows.termsIn(state.root).find((one) => one.kind === "hole");
      if (at && state.selected.kind === "hole") at.row.terms[at.place] = term;
      else if (at) rows.insert(at.row, at.place + 1, term);
      else if (free) {
        const place = rows.find(state.root, free);
        place.row.terms[place.place] = term;
      } else rows.insert(state.root, state.root.terms.length, term);
      state.selected = firstHole(term) || term;
    }, words.added);
  }

  function firstHole(term) {
    return (term.rows || []).flatMap(rows.termsIn).find((one) => one.kind === "hole");
  }

  const ACTS = {
    undo: () => undo(state.past, state.coming),
    redo: () => undo(state.coming, state.past),
    remove: () => onSelected(({ row, place }) => {
      rows.remove(row, place);
      state.selected = row.terms[Math.min(place, row.terms.length - 1)];
    }, words.removed),
    earlier: () => onSelected(({ row, place }) => moveWithin(row, place, -1), words.moved),
    later: () => onSelected(({ row, place }) => moveWithin(row, place, 1), words.moved),
    wrap: () => onSelected(({ row, place }, term) => {
      row.terms[place] = { kind: "group", rows: [rows.rowWith(term)] };
      state.selected = row.terms[place];
    }, words.wrapped),
  };

  function onSelected(change, told) {
    const at = state.selected && rows.find(state.root, state.selected);
    if (!at) return;
    edit(() => change(at, state.selected), told);
    made.get(state.selected)?.focus();
  }

  function moveWithin(row, place, by) {
    const other = place + by;
    if (other < 0 || other >= row.terms.length) return;
    [row.terms[place], row.terms[other]] = [row.terms[other], row.terms[place]];
  }

  // ---- asking the service ----

  function soon() {
    // An answer to what was written before says nothing any more: it would undo what was done since.
    asked.number += 1;
    clearTimeout(asked.timer);
    clearTimeout(asked.previewTimer);
    asked.timer = setTimeout(ask, VERDICT_MS);
  }

  async function send(address) {
    const body = new URLSearchParams(new FormData(form));
    return fetch(address, { method: "POST", body, headers: { "Metertree-Composer": "1" }, credentials: "same-origin" });
  }

  async function ask() {
    const mine = (asked.number += 1);
    const fromBlocks = blocks.value !== "";
    verdict.setAttribute("aria-busy", "true");
    try {
      const answer = await send(form.dataset.verdict);
      if (mine !== asked.number) return;
      if (!answer.ok) throw new Error(String(answer.status));
      const found = await answer.json();
      if (mine !== asked.number) return;
      verdict.innerHTML = found.html;
      form.dataset.holds = String(found.holds);
      state.faults = found.places;
      if (fromBlocks && found.text) {
        text.value = found.text;
        blocks.value = "";
        markFaults();
      } else if (found.blocks && JSON.stringify(found.blocks) !== JSON.stringify(rows.blocksOf(state.root))) {
        // What is held by a pointer must not be drawn anew under it.
        if (drag) return soon();
        state.root = rows.rowOf(found.blocks);
        show();
      } else markFaults();
      board.classList.toggle("stale", !fromBlocks && !found.blocks);
      form.dataset.asked = String(mine);
      if (found.holds) asked.previewTimer = setTimeout(() => look(mine), PREVIEW_MS);
      else preview.classList.add("stale");
    } catch {
      if (mine === asked.number) verdict.replaceChildren(element("p", "notice bad", {}, words.away));
    } finally {
      if (mine === asked.number) verdict.removeAttribute("aria-busy");
    }
  }

  async function look(mine) {
    preview.setAttribute("aria-busy", "true");
    try {
      const answer = await send(form.dataset.preview);
      if (mine !== asked.number || !answer.ok) return;
      preview.innerHTML = await answer.text();
      preview.classList.remove("stale");
    } catch {
      // The verdict stands; the preview comes with the next change.
    } finally {
      preview.removeAttribute("aria-busy");
    }
  }

  // ---- pointer ----

  function grab(event, source, term, block) {
    if (event.button !== 0 || event.target.closest("input, select, .more")) return;
    drag = { source, term, block, x: event.clientX, y: event.clientY, ghost: null, target: null };
  }

  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    if (!drag.ghost) {
      if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < DRAG_PX) return;
      drag.ghost = drag.source.cloneNode(true);
      drag.ghost.classList.add("ghost");
      drag.ghost.removeAttribute("id");
      document.body.append(drag.ghost);
      drag.source.classList.add("taken");
      form.classList.add("dragging");
    }
    event.preventDefault();
    drag.ghost.style.transform = `translate(${event.clientX + 8}px, ${event.clientY + 8}px)`;
    aim(event.clientX, event.clientY);
  });

  function aim(x, y) {
    drag.target?.classList.remove("aimed");
    const bin = form.querySelector(".bin");
    if (drag.term && within(bin, x, y)) drag.target = bin;
    else {
      const free = [...board.querySelectorAll(".gap, .hole")].filter((one) => !drag.term || fits(one));
      const ranked = free.map((one) => [distance(one, x, y), one]).sort((a, b) => a[0] - b[0]);
      drag.target = ranked.length && (ranked[0][0] <= REACH_PX || within(board, x, y)) ? ranked[0][1] : null;
    }
    drag.target?.classList.add("aimed");
  }

  function fits(one) {
    const row = one.target ? one.target.row : rows.find(state.root, one.term).row;
    return one.term !== drag.term && !rows.holds(drag.term, row);
  }

  function distance(one, x, y) {
    const box = one.getBoundingClientRect();
    const dx = Math.max(box.left - x, 0, x - box.right);
    const dy = Math.max(box.top - y, 0, y - box.bottom);
    return Math.hypot(dx, dy * 2);
  }

  function within(one, x, y) {
    const box = one.getBoundingClientRect();
    return x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;
  }

  function end(isDropped) {
    const done = drag;
    drag = null;
    if (!done || !done.ghost) return;
    done.ghost.remove();
    done.source.classList.remove("taken");
    done.target?.classList.remove("aimed");
    form.classList.remove("dragging");
    if (isDropped && done.target) drop(done);
    // The click that follows a drag is none.
    document.addEventListener("click", swallow, { capture: true, once: true });
    setTimeout(() => document.removeEventListener("click", swallow, { capture: true }), 0);
  }

  function swallow(event) {
    event.stopPropagation();
    event.preventDefault();
  }

  function drop({ term, block, target }) {
    edit(() => {
      const moved = term || rows.newTerm(block);
      if (target.classList.contains("bin")) {
        const at = rows.find(state.root, moved);
        rows.remove(at.row, at.place);
        state.selected = null;
        return;
      }
      const to = target.target ? { ...target.target } : { ...rows.find(state.root, target.term), hole: target.term };
      if (term) {
        const from = rows.find(state.root, term);
        rows.remove(from.row, from.place);
        if (from.row === to.row && from.place < to.place) to.place -= 1;
      }
      if (to.hole) to.row.terms[to.row.terms.indexOf(to.hole)] = moved;
      else rows.insert(to.row, to.place, moved);
      state.selected = firstHole(moved) || moved;
    }, target.classList.contains("bin") ? words.removed : term ? words.moved : words.added);
  }

  document.addEventListener("pointerup", () => end(true));
  document.addEventListener("pointercancel", () => end(false));
  board.addEventListener("pointerdown", (event) => {
    const shown = event.target.closest(".block");
    if (shown && shown.term && shown.term.kind !== "hole") grab(event, shown, shown.term, null);
  });
  board.addEventListener("dragstart", (event) => event.preventDefault());
  board.addEventListener("click", (event) => select(event.target.closest(".block")?.term || null));
  board.addEventListener("focusin", (event) => {
    const shown = event.target.closest(".block");
    if (shown && shown.term !== state.selected && shown === event.target) select(shown.term);
  });

  function select(term) {
    state.selected = term;
    for (const [one, shown] of made) shown.classList.toggle("selected", one === term);
    for (const button of form.querySelectorAll("[data-act]")) {
      if (!["undo", "redo"].includes(button.dataset.act)) button.disabled = !term;
    }
  }

  // ---- keys ----

  board.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return end(false);
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      return ACTS[event.shiftKey ? "redo" : "undo"]();
    }
    if (event.target.matches("input, select")) return;
    const term = event.target.term;
    if (!term) return;
    const act = {
      Delete: "remove", Backspace: "remove", "(": "wrap",
      ...(event.altKey ? { ArrowLeft: "earlier", ArrowRight: "later" } : {}),
    }[event.key];
    if (act) {
      event.preventDefault();
      state.selected = term;
      return ACTS[act]();
    }
    const at = rows.find(state.root, term);
    if (rows.SIGNS.includes(event.key) && at.place > 0) {
      event.preventDefault();
      edit(() => (at.row.signs[at.place - 1] = event.key), words.changed);
      return made.get(term)?.focus();
    }
    const terms = rows.termsIn(state.root);
    const to = { ArrowLeft: -1, ArrowRight: 1, Home: -terms.length, End: terms.length }[event.key];
    if (to) {
      event.preventDefault();
      const place = Math.min(Math.max(terms.indexOf(term) + to, 0), terms.length - 1);
      made.get(terms[place]).focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      const inner = event.target.querySelector("input, select");
      if (inner && term.kind !== "hole" && !term.rows) inner.focus();
      else form.querySelector(".palette [data-block]").focus();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && drag) end(false);
  });

  for (const button of form.querySelectorAll("[data-block]")) {
    const block = JSON.parse(button.dataset.block);
    button.addEventListener("click", () => add(block));
    button.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "touch") grab(event, button, null, block);
    });
  }
  for (const button of form.querySelectorAll("[data-act]")) {
    button.addEventListener("click", () => ACTS[button.dataset.act]());
  }
  for (const button of form.querySelectorAll("[data-start]")) {
    button.addEventListener("click", () => {
      const { reading, grain, blocks: begun } = JSON.parse(button.dataset.start);
      for (const [name, chosen] of [["reading", reading], ["grain", grain]]) {
        for (const one of form.elements[name]) one.checked = one.value === chosen;
      }
      edit(() => (state.root = rows.rowOf(begun)), words.added);
      shownFields();
    });
  }

  // ---- the text, and the fields beside ----

  text.addEventListener("input", () => {
    blocks.value = "";
    soon();
  });
  form.addEventListener("change", (event) => {
    if (board.contains(event.target) || event.target === text) return;
    shownFields();
    soon();
  });
  form.addEventListener("input", (event) => {
    if (event.target.matches(".asks")) soon();
  });

  function shownFields() {
    for (const part of form.querySelectorAll("[data-if]")) {
      const [name, wanted] = part.dataset.if.split("=");
      const found = form.querySelector(`[name="${name}"]:checked`) || form.elements[name];
      part.hidden = found.value !== wanted;
    }
  }

  function say(told) {
    said.textContent = told;
  }

  function element(tag, kind, attributes = {}, content = "") {
    const made = document.createElement(tag);
    if (kind) made.className = kind;
    for (const [name, told] of Object.entries(attributes)) made.setAttribute(name, told);
    if (content) made.textContent = content;
    return made;
  }

  const begun = form.dataset.blocks ? JSON.parse(form.dataset.blocks) : null;
  if (begun) state.root = rows.rowOf(begun);
  form.classList.add("live");
  shownFields();
  show();
  if (text.value || blocks.value) soon();
}
