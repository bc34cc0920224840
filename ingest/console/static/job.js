// Follows a job by server-sent events; the browser comes back by itself with the number of the last event it has.
"use strict";
(() => {
  const card = document.getElementById("job");
  if (!card || !window.EventSource) return;
  const bar = card.querySelector("progress");
  const [label, note] = card.querySelectorAll("#job-progress span");
  const steps = [...card.querySelectorAll("#job-steps li")];
  const source = new EventSource(card.dataset.events);
  let ended = false;
  source.addEventListener("progress", (event) => {
    const told = JSON.parse(event.data);
    label.textContent = told.text;
    note.textContent = told.note;
    if (told.of > 1) { bar.max = told.of; bar.value = told.done; } else { bar.removeAttribute("value"); }
    const here = steps.findIndex((step) => step.dataset.stage === told.stage);
    steps.forEach((step, place) => { step.className = place < here ? "done" : place === here ? "now" : ""; });
  });
  source.addEventListener("end", () => {
    ended = true;
    source.close();
    window.location.reload();
  });
  // A service that refuses to stream, or is restarting: the page itself says how the job stands.
  source.addEventListener("error", () => {
    if (!ended && source.readyState === EventSource.CLOSED) window.setTimeout(() => window.location.reload(), 3000);
  });
})();
