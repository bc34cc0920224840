// What moves on the page: a scan's table, what a meter shows now, the telephone's position. Without it all works by loading anew.
"use strict";

async function fetched(url) {
  const answer = await fetch(url, { headers: { "Metertree-Part": "yes" }, redirect: "error" });
  return [await answer.text(), answer.headers.get("Metertree-Running") === "yes"];
}

async function follow(place) {
  for (;;) {
    await new Promise((wake) => setTimeout(wake, 1000));
    try {
      const [text, isRunning] = await fetched(place.dataset.live);
      place.innerHTML = text;
      if (!isRunning) return location.reload();
    } catch { /* the gateway is out of reach for a moment: ask again */ }
  }
}

async function show(place, url) {
  place.setAttribute("aria-busy", "true");
  try { place.innerHTML = (await fetched(url))[0]; } finally { place.removeAttribute("aria-busy"); }
}

function locate(button) {
  const form = button.form;
  navigator.geolocation.getCurrentPosition((found) => {
    form.elements.lat.value = found.coords.latitude.toFixed(7);
    form.elements.lon.value = found.coords.longitude.toFixed(7);
    form.elements.accuracy.value = Math.ceil(found.coords.accuracy);
  }, () => alert(button.dataset.failed), { enableHighAccuracy: true, timeout: 20000 });
}

for (const place of document.querySelectorAll("[data-live]")) follow(place);
for (const place of document.querySelectorAll("[data-fetch]")) show(place, place.dataset.fetch);
for (const link of document.querySelectorAll("[data-into]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    show(document.getElementById(link.dataset.into), link.href);
  });
}
if (window.isSecureContext && navigator.geolocation) {
  for (const button of document.querySelectorAll("[data-locate]")) {
    button.hidden = false;
    button.addEventListener("click", () => locate(button));
  }
}
// What was typed into a form that was refused stands there again.
const SECRET = ["form", "pin", "claim"];
const typedOf = (form) => [...form.elements].filter((one) => one.name && one.type !== "file" && !SECRET.includes(one.name));
const refused = document.querySelector(".flash.bad[role=alert]");
for (const form of document.querySelectorAll("form[method=post]")) {
  const key = `typed ${form.action}`;
  const kept = sessionStorage.getItem(key);
  sessionStorage.removeItem(key);
  if (refused && kept) {
    const values = JSON.parse(kept);
    for (const one of typedOf(form)) {
      if (one.type === "radio" || one.type === "checkbox") one.checked = values.some(([name, value]) => name === one.name && value === one.value);
      else one.value = values.find(([name]) => name === one.name)?.[1] ?? one.value;
    }
    for (const folded of form.querySelectorAll("details")) {
      if (typedOf(form).some((one) => folded.contains(one) && one.value && one.type !== "radio")) folded.open = true;
    }
  }
  form.addEventListener("submit", () => {
    const values = typedOf(form).filter((one) => one.checked || !["radio", "checkbox"].includes(one.type));
    sessionStorage.setItem(key, JSON.stringify(values.map((one) => [one.name, one.value])));
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
  });
}
