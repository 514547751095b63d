
(async () => {
  const { header, numbers } = await unpack();
  const { slices } = header;
  const state = { by: "domain", only: null };
  const steps = Array.from({ length: 256 }, (_, i) => ramp(header.scale, i / 255));
  const names = { domain: header.domains, type: header.types };

  // ---- small multiples ----
  function mapOf(slice, faint) {
    const values = slice[state.by] ? numbers(slice[state.by]) : new Float64Array(slice.n).fill(NaN);
    const colour = (value) => {
      if (Number.isNaN(value)) return faint;
      if (state.by === "confidence") return steps[Math.round(255 * value)];
      return state.only === null || value === state.only ? names[state.by][1][value] : faint;
    };
    return { x: numbers(slice.x), y: numbers(slice.y), width: slice.spacing, microns: slice.microns, colours: Array.from(values, colour) };
  }
  const draw = (canvas, slice) => paint(canvas, Math.min(canvas.clientWidth || 190, 400), mapOf(slice, getComputedStyle(document.documentElement).getPropertyValue("--line").trim()));
  const tiles = new Map();
  const seen = new Set();
  const watcher = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => {
    if (isIntersecting) { seen.add(target); draw(target, tiles.get(target)); } else seen.delete(target);
  }), { rootMargin: "400px" });
  const bySample = new Map(slices.map((slice) => [slice.sample, slice]));
  /** The domains of a slice that no other has, with their numbers in it. */
  function owned(slice) {
    const codes = state.by === "domain" && slice.domain ? [...new Set(numbers(slice.domain))].filter((code) => code >= header.shared).sort((a, b) => a - b) : [];
    return codes.map((code) => make("span", { class: "ink" }, make("span", { class: "swatch", style: `background:${header.domains[1][code]}` }), ` ${header.domains[0][code].slice(slice.sample.length + 2)}${header.called[code].length ? `: ${header.called[code][0][0]}` : ""}`));
  }
  function drawPair() {
    for (const side of find("#left") ? ["left", "right"] : []) {
      const slice = bySample.get(find(`#${side}`).value);
      const canvas = find(`#${side}-map`);
      const width = Math.min(canvas.parentElement.clientWidth - 24, 560);
      canvas.style.width = `${width}px`;
      paint(canvas, width, mapOf(slice, getComputedStyle(document.documentElement).getPropertyValue("--line").trim()));
      find(`#${side}-own`).replaceChildren(...owned(slice));
      find(`#${side}-report`).href = `../${encodeURIComponent(slice.sample)}/report.html`;
    }
  }
  function repaint() {
    seen.forEach((canvas) => draw(canvas, tiles.get(canvas)));
    drawPair();
  }
  addEventListener("beforeprint", () => tiles.forEach((slice, canvas) => draw(canvas, slice)));
  addEventListener("resize", repaint);
  document.addEventListener("theme", repaint);
  function legend() {
    const box = find("#legend");
    if (state.by === "confidence") {
      findAll(".tile .own").forEach((one) => one.replaceChildren());
      box.replaceChildren(make("div", { class: "ramp" }, "0", make("i", { style: `background:linear-gradient(to right,${header.scale.join(",")})` }), "1"));
      return;
    }
    findAll(".tile .own").forEach((one, i) => one.replaceChildren(...owned(slices[i])));
    const common = state.by === "domain" ? names.domain[0].slice(0, header.shared) : names[state.by][0];
    box.replaceChildren(make("div", { class: "chips", role: "group", "aria-label": "Show one alone" }, ...common.map((name, code) => make("button", {
      type: "button", class: "chip", "aria-pressed": String(state.only === code),
      onclick: () => { state.only = state.only === code ? null : code; legend(); repaint(); findAll("#legend .chip")[code].focus(); },
    }, make("span", { class: "swatch", style: `background:${names[state.by][1][code]}` }), state.by === "domain" && header.called[code].length ? `${name}: ${header.called[code][0][0]}` : name))));
  }
  if (slices.length) {
    for (const slice of slices) {
      const canvas = make("canvas", { width: 190, height: 206, role: "img", "aria-label": `Map of ${slice.sample}` });
      tiles.set(canvas, slice);
      find("#gallery").append(make("a", { class: "tile", href: `../${encodeURIComponent(slice.sample)}/report.html` }, canvas, make("span", {}, slice.sample), make("span", { class: "own" })));
      watcher.observe(canvas);
    }
    find("#colour").addEventListener("change", (event) => { Object.assign(state, { by: event.target.value, only: null }); legend(); repaint(); });
    const resize = () => {
      find("#gallery").style.gridTemplateColumns = `repeat(auto-fill, minmax(min(${find("#size").value}rem, 100%), 1fr))`;
      repaint();
    };
    find("#size").addEventListener("input", resize);
    for (const [at, side] of find("#left") ? ["left", "right"].entries() : []) {
      find(`#${side}`).append(...slices.map((slice) => make("option", { value: slice.sample }, slice.sample)));
      find(`#${side}`).selectedIndex = at;
      find(`#${side}`).addEventListener("change", drawPair);
    }
    find("#size").value = slices.length > 12 ? 10 : 16;
    resize();
    legend();
  }

  function saveTissues(as) {
    const name = `cohort_tissues_${state.by}`;
    if (as !== "tsv") return saveSheet(name, as, slices.map((slice) => ({ title: slice.sample, ...mapOf(slice, PRINT_INK.line) })));
    const said = (value) => (value === undefined || Number.isNaN(value) ? null : state.by === "confidence" ? Number(value.toPrecision(3)) : names[state.by][0][value]);
    const rows = slices.flatMap((slice) => {
      const [x, y, values] = [numbers(slice.x), numbers(slice.y), slice[state.by] ? numbers(slice[state.by]) : []];
      return Array.from(x, (_, i) => [slice.sample, Number(x[i].toPrecision(6)), Number(y[i].toPrecision(6)), said(values[i])]);
    });
    return saveTable(name, [["sample", "x", "y", state.by], ...rows]);
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
    if (figure.dataset.figure === "tissues") return saveTissues(button.dataset.as);
    if (button.dataset.as === "tsv") return saveTable(`cohort_${figure.dataset.figure}`, header.tables[figure.dataset.figure]);
    const svg = find("svg", figure);
    savePicture(`cohort_${figure.dataset.figure}`, button.dataset.as, standalone(svg), svg.width.baseVal.value, svg.height.baseVal.value);
  });
  document.documentElement.dataset.ready = "true";
})();
