// Shows what was found: first the verdict, then each link of the chain.

import { money } from "./numbers.js";
import { lineName, linkName, pageWords } from "./words.js";

const LINES_SHOWN = 12;

/** An element with attributes, and texts or elements in it. Texts stay texts: nothing of a file becomes markup. */
export function element(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

function sign(holds, words) {
  const mark = element("span", { class: "verify-sign", "aria-hidden": "true" }, holds ? "✓" : "✗");
  return [mark, element("span", { class: "unseen" }, holds ? words.ok : words.no)];
}

function checkItem({ link, holds, told }, report, language, words) {
  const name = element("span", { class: "verify-link" }, linkName(link, language, report.statement));
  return element("li", { class: holds ? "holds" : "broken" }, ...sign(holds, words), name, element("span", { class: "verify-told" }, told[language]));
}

function verdict(report, language, words) {
  const { holds, isFinal } = report;
  const card = element("div", { class: `verify-verdict ${holds ? "holds" : "broken"}` });
  const text = element("div", {}, element("p", { class: "verify-headline" }, holds ? words.holds : words.broken));
  if (holds) text.append(element("p", {}, isFinal ? words.holdsFinal : words.holdsProvisional));
  else {
    text.append(element("p", {}, words.brokeAt));
    const list = element("ul", { class: "verify-broken" });
    for (const { link, told } of report.broken.slice(0, LINES_SHOWN)) {
      list.append(element("li", { "data-link": link }, element("b", {}, linkName(link, language, report.statement)), ` — ${told[language]}`));
    }
    text.append(list);
  }
  card.append(element("span", { class: "verify-seal", "aria-hidden": "true" }, holds ? "✓" : "✗"), text);
  return card;
}

/** The checks; many lines that hold become one entry that can be opened. */
function checkList(report, language, words) {
  const list = element("ol", { class: "verify-checks" });
  const lines = report.checks.filter(({ link, holds }) => holds && link.startsWith("line "));
  const isLong = lines.length > LINES_SHOWN;
  for (const check of report.checks) {
    if (!isLong || !lines.includes(check)) list.append(checkItem(check, report, language, words));
    else if (check === lines[0]) {
      const inner = element("ol", { class: "verify-checks" }, ...lines.map((line) => checkItem(line, report, language, words)));
      list.append(element("li", { class: "holds" }, ...sign(true, words), element("details", {}, element("summary", {}, words.more(lines.length)), inner)));
    }
  }
  return list;
}

/** Verdict and links of a report, as one element. */
export function reportView(report, language, means) {
  const words = pageWords(language);
  const details = element("details", { class: "verify-all" });
  if (!report.holds) details.open = true;
  details.append(element("summary", {}, `${words.checks} (${words.count(report.checks.length)})`), checkList(report, language, words));
  return element("div", {}, verdict(report, language, words), details, element("p", { class: "verify-means" }, words.means(means)));
}

/** The table of lines: what the statement says, and what came out here. */
export function linesView(report, language) {
  const words = pageWords(language);
  const { currency, lines } = report.statement;
  const head = element("tr", {}, ...[words.line, words.amount, words.anew].map((word) => element("th", { scope: "col" }, word)));
  const rows = lines.map((line) => {
    const found = report.lines.get(line.id);
    const holds = found?.holds ?? false;
    const anew = element("td", { class: `verify-number ${holds ? "holds" : "broken"}` }, holds ? money(found.amount, currency) : words.differs, " ", ...sign(holds, words));
    return element("tr", {}, element("th", { scope: "row", title: line.id }, lineName(line.id, language, report.statement)), element("td", { class: "verify-number" }, money(line.amount, currency)), anew);
  });
  const table = element("table", {}, element("caption", {}, words.lines), element("thead", {}, head), element("tbody", {}, ...rows));
  return element("div", { class: "verify-scroll", tabindex: "0", role: "region", "aria-label": words.lines }, table);
}
