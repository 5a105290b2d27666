"use strict";
const form = document.querySelector(".filter");
if (form) {
  const label = form.querySelector("select");
  const groups = [...document.querySelectorAll("[data-label]")];
  const count = form.querySelector("output");
  const show = () => {
    const kinds = new Set([...form.querySelectorAll("input:checked")].map((box) => box.value));
    let images = 0;
    for (const group of groups) {
      const chosen = kinds.has(group.dataset.kind) && (label.value === "" || group.dataset.label === label.value);
      group.hidden = !chosen;
      images += chosen ? group.querySelectorAll(".card").length : 0;
    }
    count.textContent = images === 1 ? "1 image" : images + " images";
  };
  form.hidden = false;
  label.value = form.dataset.first;
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
}
// paper cannot be opened: print folded texts, then fold them again
const folded = new Set();
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    folded.add(details);
  }
});
window.addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
  folded.clear();
});
