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
  place.replaceChildren(reportView(report, language, await seals.means()));
  lineMarks(report, words);
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
