"use strict";
// Without this script the page shows the same charts. With it, curves tell their values.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (selector, within = document) => within.querySelector(selector);
const SVG = "http://www.w3.org/2000/svg";

// Curves: the nearest point to the pointer, or the next one by arrow keys.
for (const chart of all(".chart")) {
  const { frame, fields, curves } = JSON.parse(chart.nextElementSibling.textContent);
  if (!curves.some(curve => curve.rows.length)) continue;
  const svg = one("svg", chart);
  const dot = svg.appendChild(document.createElementNS(SVG, "circle"));
  dot.setAttribute("r", 3.5);
  dot.setAttribute("class", "dot");
  const reading = chart.appendChild(document.createElement("output"));
  reading.setAttribute("aria-live", "polite");
  chart.tabIndex = 0;
  const place = row => [frame[0] + row[0] * frame[2], frame[1] - row[1] * frame[3]];
  let at = null; // curve and row

  const show = (curve, row) => {
    at = [curve, row];
    const values = curves[curve].rows[row];
    const [x, y] = place(values);
    dot.setAttribute("cx", x);
    dot.setAttribute("cy", y);
    const texts = fields.map((name, column) => values[column] == null ? "" : `${name} ${+values[column].toFixed(3)}`);
    reading.textContent = `${curves.length > 1 ? curves[curve].name + ": " : ""}${texts.filter(Boolean).join(", ")}`;
    chart.classList.add("read");
  };
  const hide = () => chart.classList.remove("read");

  chart.addEventListener("pointermove", event => {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let [best, least] = [null, Infinity];
    curves.forEach((curve, number) => curve.rows.forEach((row, index) => {
      const [px, py] = place(row), distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) [best, least] = [[number, index], distance];
    }));
    show(...best);
  });
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", event => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const within = (value, length) => Math.min(Math.max(value, 0), length - 1);
    const curve = at ? within(at[0] + step[0], curves.length) : 0;
    show(curve, at ? within(at[1] + step[1], curves[curve].rows.length) : 0);
  });
}
