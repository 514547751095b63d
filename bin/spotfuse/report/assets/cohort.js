
(async () => {
  const { header, numbers } = await unpack();
  const { slices } = header;
  const state = { by: "domain", only: null };
  const steps = Array.from({ length: 256 }, (_, i) => ramp(header.scale, i / 255));
  const names = { domain: header.domains, type: header.types };

  // ---- small multiples ----
  const extent = (values) => values.reduce(([lo, hi], v) => [Math.min(lo, v), Math.max(hi, v)], [Infinity, -Infinity]);
  function paint(canvas, slice) {
    const size = Math.round(Math.min(canvas.clientWidth || 190, 400) * Math.min(devicePixelRatio || 1, 2));
    canvas.width = canvas.height = size;
    const [x, y] = [numbers(slice.x), numbers(slice.y)];
    const [[x0, x1], [y0, y1]] = [extent(x), extent(y)];
    const scale = size / (Math.max(x1 - x0, y1 - y0) + 2 * slice.spacing);
    const dot = Math.max(1, 1.12 * slice.spacing * scale);
    const context = canvas.getContext("2d");
    const faint = getComputedStyle(document.documentElement).getPropertyValue("--line").trim();
    const values = slice[state.by] && numbers(slice[state.by]);
    for (let i = 0; i < slice.n; i++) {
      if (!values) context.fillStyle = faint;
      else if (state.by === "confidence") context.fillStyle = steps[Math.round(255 * values[i]) || 0];
      else context.fillStyle = state.only === null || values[i] === state.only ? names[state.by][1][values[i]] : faint;
      context.fillRect((size - (x1 - x0) * scale) / 2 + (x[i] - x0) * scale - dot / 2, (size - (y1 - y0) * scale) / 2 + (y[i] - y0) * scale - dot / 2, dot, dot);
    }
  }
  const tiles = new Map();
  const seen = new Set();
  const watcher = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => {
    if (isIntersecting) { seen.add(target); paint(target, tiles.get(target)); } else seen.delete(target);
  }), { rootMargin: "400px" });
  const repaint = () => seen.forEach((canvas) => paint(canvas, tiles.get(canvas)));
  addEventListener("beforeprint", () => tiles.forEach((slice, canvas) => paint(canvas, slice)));
  addEventListener("resize", repaint);
  document.addEventListener("theme", repaint);
  function legend() {
    const box = find("#legend");
    if (state.by === "confidence") {
      box.replaceChildren(make("div", { class: "ramp" }, "0", make("i", { style: `background:linear-gradient(to right,${header.scale.join(",")})` }), "1"));
      return;
    }
    box.replaceChildren(make("div", { class: "chips", role: "group", "aria-label": "Show one alone" }, ...names[state.by][0].map((name, code) => make("button", {
      type: "button", class: "chip", "aria-pressed": String(state.only === code),
      onclick: () => { state.only = state.only === code ? null : code; legend(); repaint(); findAll("#legend .chip")[code].focus(); },
    }, make("span", { class: "swatch", style: `background:${names[state.by][1][code]}` }), name))));
  }
  if (slices.length) {
    for (const slice of slices) {
      const canvas = make("canvas", { role: "img", "aria-label": `Map of ${slice.sample}` });
      tiles.set(canvas, slice);
      find("#gallery").append(make("a", { class: "tile", href: `../${encodeURIComponent(slice.sample)}/report.html` }, canvas, make("span", {}, slice.sample)));
      watcher.observe(canvas);
    }
    find("#colour").addEventListener("change", (event) => { Object.assign(state, { by: event.target.value, only: null }); legend(); repaint(); });
    const resize = () => {
      find("#gallery").style.gridTemplateColumns = `repeat(auto-fill, minmax(min(${find("#size").value}rem, 100%), 1fr))`;
      repaint();
    };
    find("#size").addEventListener("input", resize);
    find("#size").value = slices.length > 12 ? 10 : 16;
    resize();
    legend();
  }

  // ---- table ----
  const table = find("#slice-table");
  if (table) {
    const body = find("tbody", table);
    sortable(table, (column, sign) => {
      const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
      body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b), sign)));
    });
    find("#search").addEventListener("input", (event) => {
      const wanted = event.target.value.trim().toLowerCase();
      for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
    find("#save-slices").addEventListener("click", () => {
      const rows = [...body.rows].filter((row) => !row.hidden);
      saveTable("slices", [findAll("thead th", table).map((header_) => header_.textContent), ...rows.map((row) => [...row.cells].map((cell) => cell.dataset.key ?? (find("a", cell) ?? cell).textContent))]);
    });
  }

  // ---- figures ----
  findAll("[data-views]").forEach((menu) => menu.addEventListener("change", () => {
    findAll(`[data-view="${menu.dataset.views}"]`).forEach((figure, i) => { figure.hidden = i !== Number(menu.value); });
  }));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("figure [data-as]");
    if (!button) return;
    const figure = button.closest("figure");
    if (button.dataset.as === "tsv") return saveTable(`cohort_${figure.dataset.figure}`, header.tables[figure.dataset.figure]);
    const svg = find("svg", figure);
    savePicture(`cohort_${figure.dataset.figure}`, button.dataset.as, standalone(svg), svg.width.baseVal.value, svg.height.baseVal.value);
  });
  document.documentElement.dataset.ready = "true";
})();
