(() => {
  const body = document.body, rows = [...document.querySelectorAll("#b tr")], at = rows.slice();
  const search = document.getElementById("q"), order = document.getElementById("o"), count = document.getElementById("n");
  const heads = [...document.querySelectorAll(".ft thead th")];
  search.hidden = order.hidden = false;
  const value = (row, column) => {
    const cell = row.children[column];
    if (!("v" in cell.dataset)) return cell.textContent.trim().toLowerCase();
    return cell.dataset.v === "" ? null : Number(cell.dataset.v);
  };
  const sort = (column, way) => {
    heads.forEach((h, i) => (i === column ? h.setAttribute("aria-sort", way > 0 ? "ascending" : "descending") : h.removeAttribute("aria-sort")));
    const sorted = column < 0 ? at.slice() : at.slice().sort((a, b) => {
      const x = value(a, column), y = value(b, column);
      if (x === null || y === null) return (x === null) - (y === null);
      return way * (typeof x === "string" ? x.localeCompare(y) : x - y);
    });
    const tops = at.filter((r) => !r.hasAttribute("data-x")).length;
    sorted.forEach((r, i) => { r.classList.toggle("x", i >= tops); document.getElementById("b").append(r); });
  };
  rows.forEach((r) => r.classList.contains("x") && r.setAttribute("data-x", ""));
  heads.forEach((h, i) => {
    if (i === 4 || i === 6) return;
    const button = document.createElement("button");
    button.textContent = h.textContent;
    h.replaceChildren(button);
    button.addEventListener("click", () => sort(i, h.getAttribute("aria-sort") === "descending" ? 1 : h.hasAttribute("aria-sort") || i < 2 ? (h.getAttribute("aria-sort") === "ascending" ? -1 : 1) : -1));
  });
  order.addEventListener("change", () => {
    const [column, way] = order.value.split(",");
    sort(column === "" ? -1 : Number(column), way === "d" ? -1 : 1);
  });
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    rows.forEach((r) => {
      const hit = words.every((w) => r.textContent.toLowerCase().includes(w));
      r.classList.toggle("h", !hit);
      found += hit;
    });
    body.classList.toggle("on", words.length > 0);
    count.textContent = words.length ? `${found} found` : "";
  });
})();
