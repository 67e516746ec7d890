// Elements made of text alone, numbers as the page prints them, and answers with their rewards coloured.
const PARTS = (() => {
  "use strict";

  const el = (tag, properties = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name === "class") node.className = value;
      else if (name === "style") for (const [key, item] of Object.entries(value)) node.style.setProperty(key, item);
      else node[name] = value;
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };

  const signed = (value, digits = 2) => {
    const text = Math.abs(value).toFixed(digits);
    return `${value < 0 ? "−" : "+"}${text}`;
  };
  const plain = (value) => (value === null ? "–" : String(Number(value.toPrecision(3))).replace("-", "−"));
  const strength = (value, strong) => `${Math.round(Math.min(1, Math.abs(value) / strong) * 100)}`;
  const side = (value) => (value < 0 ? "below" : "above");

  const colouredText = (text, rewards, aspect, numbers) => {
    // Spans count characters, strings of JavaScript count UTF-16 units.
    const characters = Array.from(text);
    const spans = rewards.map(([start, end, value]) => {
      while (start < end && /\s/.test(characters[start])) start += 1;
      return { start, end: Math.min(end, characters.length), value };
    });
    const cuts = new Set([0, characters.length, ...spans.flatMap(({ start, end }) => [start, end])]);
    const edges = [...cuts].sort((a, b) => a - b);
    return edges.slice(0, -1).map((start, i) => {
      const part = characters.slice(start, edges[i + 1]).join("");
      const over = spans.filter((span) => span.start <= start && span.end >= edges[i + 1]);
      if (!over.length) return part;
      const value = over.reduce((a, b) => (Math.abs(b.value) > Math.abs(a.value) ? b : a)).value;
      const number = numbers && over.some((span) => span.end === edges[i + 1]);
      return el(
        "mark",
        {
          class: side(value),
          style: { "--strength": strength(value, aspect.strong) },
          title: over.map((span) => `${aspect.label}: reward ${signed(span.value)}`).join("; "),
        },
        part,
        number ? el("sup", {}, signed(value)) : null,
      );
    });
  };

  return { el, signed, plain, strength, side, colouredText };
})();
