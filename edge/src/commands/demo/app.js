"use strict";

const items = document.getElementById("items");

async function showItems() {
  const answer = await fetch("/api/items");
  if (!answer.ok) return;
  items.replaceChildren(...(await answer.json()).map((item) => {
    const line = document.createElement("li");
    line.textContent = `${item.name} ${item.price.toFixed(2)}`;
    return line;
  }));
}

async function send(url, options, output) {
  try {
    const answer = await fetch(url, { method: "POST", ...options });
    output.textContent = answer.ok ? await answer.text() : `Refused with ${answer.status}.`;
  } catch {
    output.textContent = "The connection was closed.";
  }
}

document.getElementById("sell").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const body = JSON.stringify({ name: form.get("name"), price: Number(form.get("price")) });
  const options = { body, headers: { "Content-Type": "application/json" } };
  await send("/api/items", options, document.getElementById("sell-answer"));
  await showItems();
});

for (const form of document.querySelectorAll("form[data-answer]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await send(form.action, { body: new FormData(form) }, document.getElementById(form.dataset.answer));
  });
}

showItems();
