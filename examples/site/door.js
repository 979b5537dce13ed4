// Lists what the page was made of, as the browser timed it.
const rows = performance.getEntriesByType("resource").map((entry) => {
  const row = document.createElement("tr");
  const cells = [new URL(entry.name).pathname, entry.initiatorType, `${entry.duration.toFixed(1)} ms`];
  row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  return row;
});

document.querySelector("#visitors").replaceChildren(...rows);
