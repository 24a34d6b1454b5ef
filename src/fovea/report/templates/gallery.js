// Without this script the page shows the first test images. With it, the confusion matrix opens its images, the test
// images can be filtered, and each opens with its explanation. Goes with curves.js.
const PAGE = 60; // images added by "Show more"

// Test images: what the filters let through, some at a time.
const filters = one(".filters"), more = one(".more"), shots = all(".shot");
let shown = Number(one(".gallery").dataset.first) || PAGE;

const filter = () => {
  const wanted = Object.entries(Object.fromEntries(new FormData(filters))).filter(([, value]) => value !== "");
  const found = shots.filter(shot => wanted.every(([name, value]) => shot.dataset[name] === value));
  const visible = new Set(found.slice(0, shown));
  for (const shot of shots) shot.hidden = !visible.has(shot);
  one("output", filters).textContent = `${visible.size} of ${found.length} shown`;
  more.hidden = visible.size === found.length;
};
filters.hidden = false;
filters.addEventListener("change", filter);
filters.addEventListener("submit", event => event.preventDefault());
more.addEventListener("click", () => {
  shown += PAGE;
  filter();
});
filter();

for (const cell of all(".matrix button")) {
  cell.addEventListener("click", () => {
    filters.elements.actual.value = cell.dataset.actual;
    filters.elements.predicted.value = cell.dataset.predicted;
    filters.elements.right.value = "";
    filter();
    one("#gallery").scrollIntoView();
    filters.elements.actual.focus({ preventScroll: true });
  });
}

// One image, large, with its evidence and the probability of each class.
const dialog = one("dialog"), classes = all("option", filters.elements.actual).slice(1).map(option => option.textContent);

const picture = (from, caption) => {
  const figure = document.createElement("figure"), image = figure.appendChild(from.cloneNode());
  figure.appendChild(document.createElement("figcaption")).textContent = caption;
  image.removeAttribute("loading");
  return figure;
};
const open = shot => {
  const [actual, predicted] = [Number(shot.dataset.actual), Number(shot.dataset.predicted)];
  const evidence = document.getElementById(shot.id.replace("shot", "evidence"));
  one("h3", dialog).textContent = actual === predicted ? classes[actual]
    : `${classes[actual]} taken for ${classes[predicted]}`;
  one(".views", dialog).replaceChildren(picture(one("img", shot), "as the network sees it"),
    ...(evidence ? [picture(one("img", evidence), `what speaks for ${classes[predicted]}`)] : []));
  const chances = shot.dataset.p.split(" ").map((p, number) => [Number(p), number]).sort((a, b) => b[0] - a[0]);
  const listed = chances.filter(([, number], place) => place < 8 || number === actual);
  one("tbody", dialog).replaceChildren(...listed.map(([p, number]) => {
    const row = document.createElement("tr"), name = row.appendChild(document.createElement("th"));
    name.scope = "row";
    name.textContent = classes[number] + (number === actual ? " (its label)" : "");
    row.insertCell().textContent = p.toFixed(3);
    row.insertCell().appendChild(document.createElement("meter")).value = p;
    return row;
  }));
  one("p .file", dialog).textContent = one(".file", shot).textContent;
  dialog.showModal();
};
for (const button of all("button.open")) {
  button.addEventListener("click", () => open(document.getElementById(button.dataset.shot) ?? button.closest(".shot")));
}
dialog.addEventListener("click", event => event.target === dialog && dialog.close()); // beside it
