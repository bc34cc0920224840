// The page of one statement: checks its file in this browser, says so beside each line, and plays the steps.

import { money } from "./numbers.js";
import { element, reportView } from "./report_view.js";
import { Seals } from "./seals.js";
import { playSteps } from "./steps.js";
import { verifyFile } from "./verifier.js";
import { pageWords } from "./words.js";

function lineMarks(report, words) {
  for (const mark of document.querySelectorAll("[data-recomputed]")) {
    const found = report.lines.get(mark.dataset.recomputed);
    const holds = found?.holds ?? false;
    mark.textContent = holds ? `✓ ${words.recomputed}: ${money(found.amount, report.statement.currency)}` : `✗ ${words.differs}`;
    mark.classList.add(holds ? "holds" : "broken");
  }
}

/** The page shows the statement that was checked, and the amounts of its lines: what a server writes is no proof. */
function comparePage(section, report) {
  if (report.statement === null || section.dataset.number === undefined) return;
  const amounts = new Map(report.statement.lines.map(({ id, amount }) => [id, String(amount)]));
  const marks = [...document.querySelectorAll("[data-recomputed][data-amount]")];
  const other = marks.find(({ dataset }) => amounts.get(dataset.recomputed) !== dataset.amount);
  if (section.dataset.number !== report.statement.number) {
    const { number } = report.statement;
    report.add("page", false, { en: `it shows another statement than the signed one, ${number}`, zh: `本页显示的不是已签名的确认单 ${number}` });
  } else if (other !== undefined) {
    const id = other.dataset.recomputed;
    report.lines.set(id, { amount: null, holds: false });
    report.add("page", false, { en: `it shows another amount of ${id} than the signed statement`, zh: `${id} 显示的金额与已签名的确认单不同` });
  } else {
    report.add("page", true, { en: "it shows the lines of the signed statement", zh: "显示的各行与已签名的确认单一致" });
  }
}

/** A statement that does not hold is said where the page begins, not only where it is explained. */
function alarm(section, report, words) {
  document.querySelector(".verify-alarm")?.remove();
  if (report.holds) return;
  const link = element("a", { href: `#${section.closest("[id]")?.id ?? ""}` }, words.seeWhere);
  const note = element("p", { class: "verify-alarm", role: "alert" }, element("b", {}, `✗ ${words.broken}`), " ", link);
  (document.querySelector("main") ?? document.body).prepend(note);
}

function tell(section, report) {
  const lines = Object.fromEntries([...report.lines].map(([id, { amount, holds }]) => [id, { amountMinor: amount === null ? null : String(amount), holds }]));
  const detail = { holds: report.holds, final: report.isFinal, broken: report.broken.map(({ link }) => link), lines };
  section.dataset.verdict = report.holds ? "holds" : "broken";
  section.dispatchEvent(new CustomEvent("metertree:verified", { bubbles: true, detail }));
}

async function check(section) {
  const language = section.dataset.lang === "en" ? "en" : "zh";
  const words = pageWords(language);
  section.querySelector(".verify-report")?.remove();
  const place = element("div", { class: "verify-report", role: "status", "aria-live": "polite" }, element("p", {}, words.checking));
  section.append(place);
  const octets = await fetched(section.dataset.statement);
  if (octets === null) {
    const again = element("button", { type: "button", class: "button small" }, words.again);
    again.addEventListener("click", () => check(section));
    place.replaceChildren(element("p", { class: "verify-unfetched" }, words.unfetched), again);
    return;
  }
  const seals = new Seals();
  const report = await verifyFile(octets, section.dataset.keys.split(/\s+/).filter(Boolean), seals);
  comparePage(section, report);
  place.replaceChildren(reportView(report, language, await seals.means()));
  lineMarks(report, words);
  alarm(section, report, words);
  tell(section, report);
}

async function fetched(address) {
  try {
    const answer = await fetch(address, { credentials: "same-origin", referrerPolicy: "no-referrer" });
    return answer.ok ? new Uint8Array(await answer.arrayBuffer()) : null;
  } catch {
    return null;
  }
}

playSteps();
for (const section of document.querySelectorAll("[data-verify]")) check(section);
