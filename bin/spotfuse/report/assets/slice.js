
(async () => {
  const { header, numbers } = await unpack();
  const { layers, sample } = header;
  const n = header.n;
  const x = numbers(header.x);
  const y = numbers(header.y);
  const byKey = new Map(layers.map((layer) => [layer.key, layer]));
  const domain = byKey.get("domain");
  const spotName = (i) => (header.spots ? header.spots[i] : `bin of ${numbers(header.inBin)[i]} ${header.unit}s`);
  const first = domain.names[0] === "none" ? byKey.get("n_counts") ?? domain : domain; // a slice that lost its domains
  const state = { layer: first, beside: null, chosen: null, choice: null };
  const steps = Array.from({ length: 256 }, (_, i) => ramp(header.scale, i / 255));
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const say = (value) => (Number.isNaN(value) ? "–" : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(3)).toString());
  const percent = (share) => `${(100 * share).toFixed(share < 0.0995 && share > 0 ? 1 : 0)} %`;

  // ---- genes, opened when they are asked for ----
  const genes = header.genes;
  const placeOf = new Map(genes.names.map((name, j) => [name, j]));
  const inSpellings = new Map(); // of each name in small letters all that are written so
  for (const name of genes.names) inSpellings.set(name.toLowerCase(), [...(inSpellings.get(name.toLowerCase()) ?? []), name]);
  const packedGenes = find("#genes")?.textContent.split("\n") ?? [];
  const opened = new Map();
  /** Read the genes that are packed together: `take(gene, points, counts)` gets each with the points that have it. */
  async function unpackGenes(k, take) {
    const raw = new Uint8Array(await inflate(packedGenes[k]));
    const held = numbers(genes.held);
    const units = numbers(genes.units);
    let gap = 0;
    let code = genes.splits[k];
    for (let j = k * genes.together; j < Math.min((k + 1) * genes.together, genes.names.length); j++) {
      const points = new Uint32Array(held[j]);
      const counts = new Float32Array(held[j]);
      for (let at = 0, i = -1; at < held[j]; at++) {
        i++;
        while (raw[gap] === 255) i += raw[gap++];
        i += raw[gap++];
        points[at] = i;
        counts[at] = units[j] * genes.levels[raw[code++]];
      }
      take(genes.names[j], points, counts);
    }
  }
  const open = (k) => unpackGenes(k, (name, points, counts) => {
    const totals = numbers(genes.totals);
    const values = new Float32Array(n);
    points.forEach((i, at) => { values[i] = Math.log1p((1e4 * counts[at]) / Math.max(totals[i], 1)); });
    const key = `gene:${name}`;
    byKey.set(key, { key, label: name, group: "Genes", kind: "value", clip: true, data: { values, lo: 0, hi: extent(values)[1] } });
  });
  /** The layer of a key; a gene's once it is unpacked, and what is made of several: their mean, or two in two colours. */
  async function layerOf(key) {
    const [kind] = key.split(":", 1);
    if (!byKey.has(key) && kind === "gene") {
      const k = Math.floor(placeOf.get(key.slice(5)) / genes.together);
      if (!opened.has(k)) opened.set(k, open(k));
      await opened.get(k);
    }
    if (!byKey.has(key) && (kind === "mean" || kind === "blend")) {
      const names = key.slice(kind.length + 1).split("\n");
      const parts = [];
      for (const name of names) parts.push(await layerOf(`gene:${name}`));
      const said = names.length > 4 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
      if (kind === "blend") byKey.set(key, { key, label: names.join(" and "), group: "Genes", kind, parts });
      else {
        const values = new Float32Array(n);
        for (const { data } of parts) data.values.forEach((v, i) => { values[i] += v / parts.length; });
        byKey.set(key, { key, label: `mean of ${said}`, group: "Genes", kind: "value", clip: true, data: { values, lo: 0, hi: extent(values)[1] } });
      }
    }
    return byKey.get(key);
  }
  const severalOf = (kind, names) => `${kind}:${names.join("\n")}`;

  // ---- names of domains, kept in this browser for this very division of the slice ----
  const codes = numbers(domain.data);
  const print = codes.reduce((sum, code) => Math.imul(sum ^ code, 16777619) >>> 0, 2166136261);
  const shelf = `spotfuse ${sample} ${print}`;
  const called = new Map(); // of a domain's code its name
  const naming = findAll("[data-naming]");
  let given = naming.map((field) => [Number(field.dataset.naming), field.defaultValue]);
  try { // a browser may keep nothing for a file
    given = JSON.parse(localStorage.getItem(shelf)) ?? given;
  } catch { /* then names last as long as the page */ }
  for (const [code, name] of given) if (name) called.set(code, name);
  const titleOf = (code) => (called.get(code) ? `${domain.names[code]}: ${called.get(code)}` : domain.names[code]);
  const nameIn = (layer, code) => (layer === domain ? titleOf(code) : layer.names[code]);

  // ---- colours ----
  const ranges = new Map();
  function range(layer) {
    if (!ranges.has(layer.key)) {
      let { lo, hi } = layer;
      if (lo === undefined) {
        const sorted = Float64Array.from(numbers(layer.data)).filter((v) => !Number.isNaN(v)).sort();
        lo = sorted[0] ?? 0;
        hi = sorted[sorted.length - 1] ?? 1;
        // a few spots must not make all others look empty
        const most = sorted[Math.floor(0.99 * (sorted.length - 1))] ?? hi;
        if (layer.clip && most > lo) hi = most;
      }
      ranges.set(layer.key, { lo, hi });
    }
    return ranges.get(layer.key);
  }
  const levels = (layer, { lo, hi } = range(layer)) => Float32Array.from(numbers(layer.data), (v) => Math.min(Math.max((v - lo) / (hi - lo || 1), 0), 1));
  // neither, the first alone, the second alone, both: told apart with any colour vision, on white and on black
  const BLEND = [[205, 209, 214], [255, 169, 14], [43, 131, 218], [140, 26, 90]];
  const mixed = (a, b) => `rgb(${[0, 1, 2].map((c) => Math.round((1 - a) * ((1 - b) * BLEND[0][c] + b * BLEND[2][c]) + a * ((1 - b) * BLEND[1][c] + b * BLEND[3][c]))).join(",")})`;
  function colours(layer, span) {
    if (layer.kind === "image") return new Array(n).fill("#000");
    if (layer.kind === "category") return Array.from(numbers(layer.data), (code) => layer.colours[code]);
    if (layer.kind === "blend") {
      const [a, b] = layer.parts.map((part) => levels(part));
      return Array.from(a, (level, i) => mixed(level, b[i]));
    }
    return Array.from(levels(layer, span), (level) => (Number.isNaN(level) ? "#9aa3ad" : steps[Math.round(255 * level)]));
  }
  const valueAt = (layer, i) => {
    if (layer.kind === "blend") return layer.parts.map((part) => `${part.label} ${valueAt(part, i)}`).join(", ");
    const value = numbers(layer.data)[i];
    return layer.kind === "category" ? nameIn(layer, value) : say(value);
  };

  // ---- the two plots ----
  const map = find("#map");
  const side = find("#side");
  const photo = find("#photo");
  const hasGl = Boolean(document.createElement("canvas").getContext("webgl"));
  const touch = matchMedia("(pointer: coarse)").matches;
  const symbol = header.spots ? "circle" : "square";
  const share = header.spots ? 0.92 : 1.05;
  const diameter = header.diameter && header.spots ? Math.max(header.diameter, 0.55 * header.spacing) : share * header.spacing;
  const embedding = header.embedding.map(numbers);

  const [x0, x1] = extent(x);
  const [y0, y1] = extent(y);
  const pad = Math.max(diameter, 0.02 * Math.max(x1 - x0, y1 - y0));
  const whole = { x: [x0 - pad, x1 + pad], y: [y1 + pad, y0 - pad] };

  /** For each name of a layer, the point that lies nearest to the middle of its points. */
  function medoids(layer, [a, b]) {
    const codes = numbers(layer.data);
    return layer.names.map((name, k) => {
      const members = Array.from(codes.keys()).filter((i) => codes[i] === k);
      const middle = [a, b].map((values) => members.reduce((sum, i) => sum + values[i], 0) / members.length);
      const distance = (i) => (a[i] - middle[0]) ** 2 + (b[i] - middle[1]) ** 2;
      return { name, at: members.reduce((best, i) => (best === null || distance(i) < distance(best) ? i : best), null) };
    }).filter(({ at }) => at !== null);
  }
  const centres = new Map();
  function annotations(layer, coordinates) {
    if (layer !== domain || !find("#numbers").checked) return [];
    if (!centres.has(coordinates[0])) centres.set(coordinates[0], medoids(domain, coordinates));
    return centres.get(coordinates[0]).map(({ name, at }) => ({
      x: coordinates[0][at], y: coordinates[1][at], text: `<b>${plain(name)}</b>`, showarrow: false,
      font: { size: 13, color: "#000" }, bgcolor: "rgba(255,255,255,.82)", borderpad: 2, captureevents: false,
    }));
  }
  function images() {
    return photo ? [{
      source: photo.src, xref: "x", yref: "y", x: 0, y: 0, sizex: header.image.width, sizey: header.image.height,
      sizing: "stretch", layer: "below", opacity: Number(find("#image").value),
    }] : [];
  }
  /** Domain numbers, and of the tissue a scale bar, of the embedding the names of its axes. */
  function marks(layer, tissue, [from, to]) {
    const label = { showarrow: false, font: { size: 12, color: "#000" }, bgcolor: "rgba(255,255,255,.82)", borderpad: 2, captureevents: false };
    if (!tissue) {
      const corner = { ...label, xref: "paper", yref: "paper", x: 0, y: 0 };
      return { shapes: [], annotations: [...annotations(layer, embedding),
        { ...corner, xanchor: "left", yanchor: "bottom", xshift: 24, text: "PC1 →" },
        { ...corner, xanchor: "left", yanchor: "bottom", yshift: 24, text: "PC2", textangle: -90 },
      ] };
    }
    const { length, name } = scaleBar(0.25 * Math.abs(to - from), header.microns);
    const start = from + 0.03 * (to - from);
    const line = (color, width) => ({ type: "line", xref: "x", yref: "paper", x0: start, x1: start + Math.sign(to - from) * length, y0: 0.03, y1: 0.03, line: { color, width } });
    return {
      shapes: [line("#fff", 6), line("#000", 3)],
      annotations: [...annotations(layer, [x, y]),
        { ...label, xref: "x", yref: "paper", x: start, y: 0.03, xanchor: "left", yanchor: "bottom", yshift: 4, text: name, name: "scale" }],
    };
  }
  function layout(layer, tissue, across = whole.x) {
    const axis = { visible: false, zeroline: false, showgrid: false };
    return {
      margin: { l: 0, r: 0, t: 32, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, color: css("--ink") },
      showlegend: false, hovermode: "closest", dragmode: touch ? false : "zoom", uirevision: "kept", hoverdistance: 12,
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--ink"), orientation: "h" },
      newselection: { line: { color: css("--ink"), width: 1.5, dash: "dot" } },
      xaxis: { ...axis, range: tissue ? whole.x : undefined },
      yaxis: { ...axis, scaleanchor: tissue ? "x" : undefined, range: tissue ? whole.y : undefined },
      images: tissue ? images() : [],
      ...marks(layer, tissue, across),
    };
  }
  function trace(layer, tissue) {
    const [a, b] = tissue ? [x, y] : embedding;
    const bare = layer.kind === "image";
    const opacity = bare ? 0 : Number(find("#opacity").value);
    const open = tissue && Boolean(find("#outlines")?.checked);
    return {
      type: hasGl ? "scattergl" : "scatter", mode: "markers", x: a, y: b, hoverinfo: "none",
      marker: { color: colours(layer), size: tissue ? 6 : embeddedSize(), opacity: tissue ? opacity : 0.85, line: { width: open ? 1.5 : 0 }, symbol: tissue ? `${symbol}${open ? "-open" : ""}` : "circle" },
      selectedpoints: state.chosen, selected: { marker: { opacity: tissue ? (bare ? 0.3 : Math.max(opacity, 0.3)) : 0.95 } }, unselected: { marker: { opacity: bare ? 0 : 0.06 } },
    };
  }
  const embeddedSize = () => Number(find("#size").value) * Math.min(9, Math.max(2.5, 240 / Math.sqrt(n)));
  const config = {
    displaylogo: false, displayModeBar: true, responsive: true, scrollZoom: false, doubleClick: "reset",
    modeBarButtons: [["zoom2d", "pan2d", "lasso2d", "select2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };
  const sideLayer = () => state.beside ?? state.layer;
  /** Spots keep their size in the tissue, whatever the zoom. */
  function fitSpots(plot) {
    const { xaxis, yaxis } = plot._fullLayout;
    const scale = Math.min(xaxis._length / Math.abs(xaxis.range[1] - xaxis.range[0]), yaxis._length / Math.abs(yaxis.range[1] - yaxis.range[0]));
    const size = Math.max(1.2, diameter * scale * Number(find("#size").value));
    return Plotly.update(plot, { "marker.size": size }, marks(plot === map ? state.layer : sideLayer(), true, xaxis.range));
  }
  const isTissue = (plot) => plot === map || state.beside !== null;
  async function draw(plot) {
    const layer = plot === map ? state.layer : sideLayer();
    await Plotly.react(plot, [trace(layer, isTissue(plot))], { ...layout(layer, isTissue(plot), plot._fullLayout?.xaxis.range), ...kept(plot) }, config);
    if (isTissue(plot)) await fitSpots(plot);
  }
  /** The zoom and the tool that stand now, as long as the plot goes on showing the same kind of thing. */
  function kept(plot) {
    const now = plot._fullLayout;
    if (!now || plot.showsTissue !== isTissue(plot)) {
      plot.showsTissue = isTissue(plot);
      return plot === side && plot.showsTissue && map._fullLayout ? zoomOf(map) : {};
    }
    return { ...zoomOf(plot), dragmode: now.dragmode };
  }
  const zoomOf = (plot) => {
    const tissue = isTissue(plot);
    const axis = { visible: false, zeroline: false, showgrid: false };
    return {
      xaxis: { ...axis, range: plot._fullLayout.xaxis.range.slice() },
      yaxis: { ...axis, range: plot._fullLayout.yaxis.range.slice(), scaleanchor: tissue ? "x" : undefined },
    };
  };

  // ---- what is chosen ----
  async function choose(indices, choice) {
    state.chosen = indices;
    state.choice = choice;
    await Promise.all([map, side].map((plot) => Plotly.restyle(plot, { selectedpoints: [indices] })));
    report();
  }
  function clear() {
    for (const plot of [map, side]) if (plot.layout.selections?.length) Plotly.relayout(plot, { selections: [] });
    return choose(null, null);
  }
  function isolate(layer, code) {
    if (state.choice?.layer === layer && state.choice.code === code) return clear();
    const codes = numbers(layer.data);
    const indices = [];
    for (let i = 0; i < n; i++) if (codes[i] === code) indices.push(i);
    for (const plot of [map, side]) if (plot.layout.selections?.length) Plotly.relayout(plot, { selections: [] });
    return choose(indices, { layer, code });
  }
  /** Cell types of points by their mean share, the most abundant first. */
  function typesOf(indices) {
    const shares = layers.filter((layer) => layer.key.startsWith("type:")).map((layer) => {
      const values = numbers(layer.data);
      const known = indices.filter((i) => !Number.isNaN(values[i]));
      return [layer.label, known.reduce((sum, i) => sum + values[i], 0) / known.length];
    });
    return shares.filter(([, share]) => share >= 0.005).sort((a, b) => b[1] - a[1]);
  }
  let reported = null;
  function report() {
    const { chosen, choice } = state;
    find("#clear").hidden = find("#selected").hidden = find("#selection").hidden = chosen === null || !chosen.length;
    if (chosen !== reported) find("#selection-found").hidden = true;
    reported = chosen;
    findAll("[data-isolate]").forEach((chip) => {
      chip.setAttribute("aria-pressed", String(choice?.layer === domain && choice.code === Number(chip.dataset.isolate)));
    });
    for (const [box, layer] of [["#legend", state.layer], ["#side-legend", state.beside]]) {
      findAll(`${box} .chip`).forEach((chip) => {
        chip.setAttribute("aria-pressed", String(choice?.layer === layer && choice.code === Number(chip.dataset.code)));
      });
    }
    if (chosen === null) return (find("#status").textContent = "");
    const words = [`${chosen.length.toLocaleString("en")} ${header.spots ? `${header.unit}s` : "bins"} (${percent(chosen.length / n)})`];
    if (choice) words.unshift(`${choice.layer.label} ${nameIn(choice.layer, choice.code)}:`);
    else {
      const counts = new Map();
      for (const i of chosen) counts.set(numbers(domain.data)[i], (counts.get(numbers(domain.data)[i]) ?? 0) + 1);
      const top = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 4);
      words.push(`of ${top.map(([k, count]) => `domain ${titleOf(k)} ${percent(count / chosen.length)}`).join(", ")}`);
    }
    const most = typesOf(chosen).slice(0, 3);
    if (most.length) words.push(`· ${most.map(([name, share]) => `${name} ${percent(share)}`).join(", ")}`);
    if (state.layer.kind === "value") {
      const values = numbers(state.layer.data);
      const inside = new Set(chosen);
      let sum = 0, rest = 0, others = 0;
      for (let i = 0; i < n; i++) {
        if (Number.isNaN(values[i])) continue;
        if (inside.has(i)) sum += values[i];
        else { rest += values[i]; others++; }
      }
      words.push(`· mean ${state.layer.label} ${say(sum / chosen.length)}, elsewhere ${say(others ? rest / others : NaN)}`);
    }
    find("#status").textContent = words.join(" ");
  }

  // ---- what a selection holds ----
  /** The genes that mark chosen points, as markers of domains are found: much higher, and so in most of them. */
  async function genesOf(indices) {
    const totals = numbers(genes.totals);
    const isIn = new Uint8Array(n);
    for (const i of indices) isIn[i] = 1;
    let [within, without] = [0, 0];
    totals.forEach((total, i) => { if (isIn[i]) within += total; else without += total; });
    const [nIn, nOut] = [indices.length, n - indices.length];
    const found = [];
    for (let k = 0; k < packedGenes.length; k++) {
      await unpackGenes(k, (name, points, counts) => {
        let sum = 0, rest = 0, there = 0;
        points.forEach((i, at) => { if (isIn[i]) { sum += counts[at]; there++; } else rest += counts[at]; });
        const fold = Math.log2((sum + 1) / ((rest / without) * within + 1));
        const [shareIn, shareOut] = [there / nIn, (points.length - there) / nOut];
        if (fold < Math.log2(1.5) || !(sum / nIn >= (1.5 * rest) / nOut || shareIn - shareOut >= 0.1)) return;
        // the chance that a point inside has more than one outside: all that lack the gene come first, and share a place
        const level = points.length && Float64Array.from(points, (i, at) => counts[at] / totals[i]);
        const order = Array.from(points.keys()).sort((a, b) => level[a] - level[b]);
        let below = nOut - (points.length - there);
        let pairs = (below * (nIn - there)) / 2;
        for (let at = 0; at < order.length;) {
          let [alikeIn, alikeOut] = [0, 0];
          for (const first = level[order[at]]; at < order.length && level[order[at]] === first; at++) {
            if (isIn[points[order[at]]]) alikeIn++; else alikeOut++;
          }
          pairs += alikeIn * (below + alikeOut / 2);
          below += alikeOut;
        }
        const auc = pairs / (nIn * nOut);
        found.push([name, fold, auc, shareIn, shareOut]);
      });
    }
    const score = ([, fold, auc]) => fold * (2 * auc - 1);
    return found.filter(([, , auc]) => auc > 0.5).sort((a, b) => score(b) - score(a)).slice(0, 100);
  }
  let compared = [];
  async function compareSelection() {
    const indices = state.chosen;
    find("#selection-genes").disabled = true;
    compared = await genesOf(indices);
    find("#selection-genes").disabled = false;
    if (state.chosen !== indices) return;
    const number = (text) => make("td", { class: "number" }, text);
    find("#selection-table tbody").replaceChildren(...compared.slice(0, 12).map(([name, fold, auc, shareIn, shareOut]) => make("tr", {},
      make("td", {}, make("button", { type: "button", class: "link", "data-gene": name }, name)),
      number(fold.toFixed(2)), number(auc.toFixed(2)), number(percent(shareIn)), number(percent(shareOut)))));
    find("#selection-said").textContent = compared.length ? "Higher in the selection than elsewhere. It was drawn by eye: there is no p to these." : "No gene is 1.5 times as high in the selection as elsewhere.";
    find("#selection-found").hidden = false;
  }
  find("#selection-genes").addEventListener("click", compareSelection);
  find("#selection-save").addEventListener("click", () => saveTable(`${sample}_selection_genes`, [["gene", "log_fold_change", "auc", "share_in", "share_out"], ...compared.map(([name, ...rest]) => [name, ...rest.map((v) => Number(v.toPrecision(6)))])]));
  const regions = new Map(); // of a name the spots
  function keepRegion() {
    const name = find("#region-name").value.trim();
    if (!name || !state.chosen) return;
    const chosen = new Set(state.chosen); // a spot is of the region that it was given last
    for (const [other, members] of regions) regions.set(other, members.filter((i) => !chosen.has(i)));
    regions.set(name, [...(regions.get(name) ?? []), ...chosen].sort((a, b) => a - b));
    for (const [other, members] of regions) if (!members.length) regions.delete(other);
    find("#region-name").value = "";
    find("#regions").replaceChildren(...[...regions].map(([one, members]) => make("button", {
      type: "button", class: "chip", onclick: () => choose(members, null),
    }, one, make("span", { class: "note" }, `${members.length.toLocaleString("en")} ${header.unit}s`))));
    find("#regions-save").hidden = false;
  }
  find("#region-keep")?.addEventListener("click", keepRegion);
  find("#region-name")?.addEventListener("keydown", (event) => { if (event.key === "Enter") keepRegion(); });
  const regionRows = () => [["spot", "region"], ...[...regions].flatMap(([name, members]) => members.map((i) => [header.spots[i], name]))];
  find("#regions-save").addEventListener("click", () => saveTable(`${sample}_regions`, regionRows()));

  // ---- legend, titles, controls ----
  function legends() {
    find("#map-title").textContent = state.layer.label;
    legend(state.layer, find("#legend"));
    if (state.beside) legend(state.beside, find("#side-legend"));
    else find("#side-legend").replaceChildren();
    byDomain();
  }
  const unitOf = (layer) => ({ Genes: "ln(1 + counts per 10,000)", "Cell types": header.typed ? "share of cells of the type" : `share of the ${header.unit}` })[layer.group]
    ?? ({ attention: "0: like expression counts; 1: neighbours in the tissue count", confidence: "probability", n_counts: "counts", n_genes: "genes", mt_share: "share of the counts" })[layer.key] ?? "";
  function legend(layer, box) {
    if (layer.kind === "image") return box.replaceChildren();
    const title = make("b", { class: "title" }, layer.label);
    if (layer.kind === "blend") {
      const hues = [["neither", 0, 0], [`${layer.parts[0].label} alone`, 1, 0], [`${layer.parts[1].label} alone`, 0, 1], ["both", 1, 1]];
      box.replaceChildren(make("div", { class: "ramp" }, title, ...hues.map(([name, a, b]) => make("span", {}, make("span", { class: "swatch", style: `background:${mixed(a, b)}` }), ` ${name}`)),
        make("span", { class: "note" }, `full at ${layer.parts.map((part) => `${part.label} ${top(part)}`).join(", ")}, ${unitOf(layer)}`)));
      return;
    }
    if (layer.kind === "value") {
      const { lo, hi } = range(layer);
      const clipped = layer.clip && hi < layer.data.hi;
      box.replaceChildren(make("div", { class: "ramp" }, title, say(lo),
        make("i", { style: `background:linear-gradient(to right,${header.scale.join(",")})` }), `${clipped ? "≥ " : ""}${say(hi)}`,
        make("span", { class: "note" }, unitOf(layer))));
      return;
    }
    const counts = new Array(layer.names.length).fill(0);
    const sizes = header.inBin && numbers(header.inBin);
    const total = sizes ? sizes.reduce((a, b) => a + b, 0) : n;
    numbers(layer.data).forEach((code, i) => { counts[code] += sizes ? sizes[i] : 1; });
    box.replaceChildren(make("div", { class: "chips", role: "group", "aria-label": `${layer.label}: show one alone` }, title,
      ...layer.names.map((_, code) => counts[code] ? make("button", {
        type: "button", class: "chip", "data-code": code, "aria-pressed": "false", onclick: () => isolate(layer, code),
      }, make("span", { class: "swatch", style: `background:${layer.colours[code]}` }), nameIn(layer, code), make("span", { class: "note" }, percent(counts[code] / total))) : "").filter(Boolean)));
  }
  async function show(layer) {
    const forget = state.choice && state.choice.layer !== domain && state.choice.layer !== layer;
    state.layer = layer;
    for (const menu of [find("#layer"), find("#beside")]) offer(menu, layer);
    find("#layer").value = layer.key;
    if (forget) { state.chosen = null; state.choice = null; }
    legends();
    await Promise.all([draw(map), draw(side)]);
    report();
  }
  let latest = 0; // of two genes asked for in a row the first may be unpacked last
  async function showKey(key) {
    const turn = ++latest;
    const layer = await layerOf(key);
    if (turn === latest) await show(layer);
  }
  function showGene(gene) {
    if (!placeOf.has(gene)) return;
    showKey(`gene:${gene}`);
    find("#tissue").scrollIntoView();
  }
  const groups = new Map();
  for (const layer of layers) groups.set(layer.group, [...(groups.get(layer.group) ?? []), layer]);
  groups.set("Marker genes", header.listed.filter((name) => placeOf.has(name)).map((name) => ({ key: `gene:${name}`, label: name })));
  for (const menu of [find("#layer"), find("#beside")]) {
    for (const [group, members] of groups) {
      if (members.length) menu.append(make("optgroup", { label: group }, ...members.map((layer) => make("option", { value: layer.key }, layer.label))));
    }
  }
  if (photo) find("#beside").append(make("option", { value: "image" }, "Tissue image alone"));
  byKey.set("image", { key: "image", label: "Tissue image", kind: "image" });
  /** Put a gene that is shown, but not listed, into a menu. */
  function offer(menu, { key, label }) {
    if ([...menu.options].some((option) => option.value === key)) return;
    if (!find("[label='Other genes']", menu)) menu.append(make("optgroup", { label: "Other genes" }));
    find("[label='Other genes']", menu).append(make("option", { value: key }, label));
  }
  find("#layer").addEventListener("change", (event) => showKey(event.target.value));
  find("#beside").addEventListener("change", async (event) => {
    state.beside = event.target.value ? await layerOf(event.target.value) : null;
    legends();
    report();
    await draw(side);
  });

  // ---- finding ----
  const labels = layers.map((layer) => layer.label);
  /** What a text names: a gene as it is written, a layer, or a gene in other letters if only one is written so. */
  function named(text) {
    const small = text.toLowerCase();
    if (placeOf.has(text)) return `gene:${text}`;
    const layer = layers.find((one) => one.label === text) ?? layers.find((one) => one.label.toLowerCase() === small);
    const spellings = inSpellings.get(small) ?? [];
    return layer && !spellings.length ? layer.key : spellings.length === 1 ? `gene:${spellings[0]}` : layer?.key;
  }
  /** Names that begin as a text does, then those that hold it. */
  function alike(text, most) {
    const small = text.toLowerCase();
    const [begin, within] = [[], []];
    for (const name of [...labels, ...genes.names]) {
      const at = name.toLowerCase().indexOf(small);
      if (at === 0) begin.push(name);
      else if (at > 0) within.push(name);
    }
    begin.sort((a, b) => a.length - b.length || compare(a, b, 1));
    return [...begin, ...within].slice(0, most);
  }
  async function seek(entered) {
    const text = find("#find").value.trim();
    const said = find("#found");
    const several = text.split(/[\s,;+]+/).filter(Boolean);
    const last = several.length > 1 ? several.at(-1) : text;
    const before = text.slice(0, text.length - last.length);
    find("#names").replaceChildren(...(text ? alike(last, 20).map((name) => make("option", { value: before + name })) : []));
    said.replaceChildren();
    if (!text) return;
    const key = named(text);
    if (key === undefined && several.length > 1) {
      const spelt = several.map((name) => (placeOf.has(name) ? [name] : inSpellings.get(name.toLowerCase()) ?? []));
      const found = [...new Set(spelt.filter((all) => all.length === 1).flat())];
      const lost = several.filter((_, i) => spelt[i].length !== 1);
      if (found.length > 1 && (entered || !lost.length)) return showSeveral("mean", found, lost);
      if (found.length > 1) said.append(`${found.length} of ${several.length} genes are known; Enter shows their mean.`);
      if (found.length) return;
    }
    if (key !== undefined) {
      await showKey(key);
      const label = byKey.get(key).label;
      if (label !== text) said.append(`${label}, as it is written here, is shown.`);
      else if (key.startsWith("gene:") && labels.includes(text)) said.append(`The gene is shown; the layer ${text} stands in the menu.`);
      else if (entered) said.append(`${label} is shown.`);
      return;
    }
    const spellings = inSpellings.get(text.toLowerCase()) ?? [];
    const others = spellings.length ? spellings : alike(text, 8);
    const held = genes.names.length < genes.of
      ? ` This page holds the ${genes.names.length.toLocaleString("en")} of ${genes.of.toLocaleString("en")} genes that vary the most; the .h5ad has all.` : "";
    said.append(others.length ? `Nothing is called “${text}”; the map stays. Is it ` : `Nothing here is called “${text}”, and no name holds it.`);
    others.forEach((name, i) => said.append(i ? ", " : "", make("button", {
      type: "button", class: "link", onclick: () => { find("#find").value = name; seek(true); },
    }, name)));
    said.append(`${others.length ? "?" : ""}${held}`);
  }
  async function showSeveral(kind, names, lost) {
    await showKey(severalOf(kind, names));
    const other = kind === "mean" ? "blend" : "mean";
    const words = kind === "mean" ? `The mean of ${names.length} genes is shown.` : "Both genes are shown, each in a colour.";
    find("#found").replaceChildren(words, lost.length ? ` Not found: ${lost.join(", ")}.` : "", ...(names.length === 2 ? [" ", make("button", {
      type: "button", class: "link", onclick: () => showSeveral(other, names, lost),
    }, other === "blend" ? "Show both in two colours" : "Show their mean")] : []));
  }
  find("#find").addEventListener("input", () => seek(false));
  find("#find").addEventListener("keydown", (event) => { if (event.key === "Enter") seek(true); });
  find("#opacity").addEventListener("input", () => {
    const opacity = Number(find("#opacity").value);
    for (const plot of [map, side]) {
      if (isTissue(plot) && (plot === map || state.beside.kind !== "image")) Plotly.restyle(plot, { "marker.opacity": opacity, "selected.marker.opacity": Math.max(opacity, 0.3) });
    }
  });
  find("#image")?.addEventListener("input", () => {
    for (const plot of [map, side]) if (isTissue(plot)) Plotly.relayout(plot, { "images[0].opacity": Number(find("#image").value) });
  });
  find("#size").addEventListener("input", () => {
    for (const plot of [map, side]) {
      if (isTissue(plot)) fitSpots(plot);
      else Plotly.restyle(plot, { "marker.size": embeddedSize() });
    }
  });
  find("#numbers").addEventListener("change", () => [map, side].forEach(draw));
  find("#outlines")?.addEventListener("change", () => [map, side].forEach(draw));
  find("#clear").addEventListener("click", clear);
  find("#selected").addEventListener("click", () => saveTable(`${sample}_selected`, spotRows([x, y], ["x", "y"], [state.layer], state.chosen)));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    tip.hidden = true;
    if (state.chosen !== null) clear();
  });
  document.addEventListener("theme", () => [map, side].forEach(draw));
  findAll("[data-isolate]").forEach((chip) => chip.addEventListener("click", () => {
    show(domain).then(() => isolate(domain, Number(chip.dataset.isolate)));
    find("#tissue").scrollIntoView();
  }));
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-gene]");
    if (target) showGene(target.dataset.gene);
  });

  // ---- the keyboard ----
  function steer(plot, event) {
    const zoom = { "+": 0.8, "=": 0.8, "-": 1.25 }[event.key] ?? 1;
    const [across, up] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
    if (event.target !== plot || event.ctrlKey || event.metaKey || event.altKey) return;
    if (zoom === 1 && !across && !up && event.key !== "0") return;
    event.preventDefault();
    const moved = ({ range: [a, b] }, step) => {
      const [middle, half] = [(a + b) / 2 + 0.2 * step * (b - a), (zoom * (b - a)) / 2];
      return [middle - half, middle + half];
    };
    const { xaxis, yaxis } = plot._fullLayout;
    if (event.key !== "0") Plotly.relayout(plot, { "xaxis.range": moved(xaxis, across), "yaxis.range": moved(yaxis, up) });
    else if (isTissue(plot)) Plotly.relayout(plot, { "xaxis.range": whole.x, "yaxis.range": whole.y });
    else Plotly.relayout(plot, { "xaxis.autorange": true, "yaxis.autorange": true });
  }

  // ---- hover ----
  const tip = make("div", { class: "tip", hidden: "" });
  document.body.append(tip);
  function hint(plot, { points: [point], event }) {
    const i = point.pointIndex;
    const layer = plot === map ? state.layer : sideLayer();
    const lines = [spotName(i), `domain ${valueAt(domain, i)}, confidence ${valueAt(byKey.get("confidence"), i)}`];
    if (!["domain", "confidence", "annotation", "image"].includes(layer.key)) lines.push(`${layer.label}: ${valueAt(layer, i)}`);
    if (byKey.has("annotation")) lines.push(`annotation: ${valueAt(byKey.get("annotation"), i)}`);
    const most = typesOf([i]).slice(0, 3);
    if (most.length) lines.push(most.map(([name, share]) => `${name} ${percent(share)}`).join(", "));
    lines.push(`x ${say(x[i])}, y ${say(y[i])}${header.microns && header.microns !== 1 ? ` (${say(x[i] * header.microns)}, ${say(y[i] * header.microns)} µm)` : ""}`);
    tip.replaceChildren(...lines.map((line) => make("div", {}, line)));
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - box.width - 4)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - box.height - 4)}px`;
  }

  // ---- values by domain ----
  /** Draw a layer in each domain or class: the middle half as a box, nine spots of ten as a line, the mean as a dot. */
  function boxes(layer, by, name) {
    const [values, of] = [numbers(layer.data), numbers(by.data)];
    const rows = by.names.map((_, code) => {
      const sorted = Float64Array.from(values.filter((v, i) => of[i] === code && !Number.isNaN(v))).sort();
      const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
      return { code, n: sorted.length, mean: sorted.reduce((a, b) => a + b, 0) / sorted.length, at: [0.05, 0.25, 0.5, 0.75, 0.95].map(at), some: sorted.filter((v) => v > 0).length / sorted.length };
    }).filter((row) => row.n);
    header.tables[name] = [[by.key, header.spots ? "spots" : "bins", "mean", "q05", "q25", "median", "q75", "q95", "share_above_0"],
      ...rows.map((row) => [nameIn(by, row.code), row.n, ...[row.mean, ...row.at, row.some].map((v) => Number(v.toPrecision(6)))])];
    if (!rows.length) return make("p", { class: "note" }, `No ${header.unit} has a value.`);
    const lo = Math.min(0, ...rows.map((row) => row.at[0]));
    const hi = Math.max(...rows.flatMap((row) => [row.at[4], row.mean])) || 1;
    const short = (text) => (text.length > 34 ? `${text.slice(0, 33)}…` : text);
    const left = 26 + 7.2 * Math.max(...rows.map((row) => short(nameIn(by, row.code)).length));
    const [wide, tall] = [330, 24];
    const across = (v) => left + (wide * (v - lo)) / (hi - lo);
    const bottom = tall * rows.length + 4;
    const step = scaleBar((hi - lo) / 3, 1).length;
    const ticks = Array.from({ length: Math.floor(hi / step + 1e-9) - Math.ceil(lo / step - 1e-9) + 1 }, (_, i) => (Math.ceil(lo / step - 1e-9) + i) * step);
    const text = (where, content) => drawn("text", where, content);
    return drawn("svg", { width: left + wide + 60, height: bottom + 40, viewBox: `0 0 ${(left + wide + 60).toFixed(1)} ${bottom + 40}`, role: "img", "aria-label": `${layer.label} by ${by.label.toLowerCase()}` },
      ...ticks.flatMap((v) => [drawn("line", { x1: across(v), x2: across(v), y1: 0, y2: bottom, stroke: "var(--line)" }), text({ x: across(v), y: bottom + 14, "text-anchor": "middle" }, say(v))]),
      text({ x: left + wide / 2, y: bottom + 32, "text-anchor": "middle" }, [layer.label, unitOf(layer)].filter((part, k) => part && (!k || part !== layer.label.toLowerCase())).join(", ")),
      ...rows.map((row, i) => {
        const y = tall * i + 4 + tall / 2;
        const [a, b, middle, c, d] = row.at.map(across);
        return drawn("g", {}, drawn("title", {}, `${nameIn(by, row.code)}: mean ${say(row.mean)}, median ${say(row.at[2])}, half between ${say(row.at[1])} and ${say(row.at[3])}, ${percent(row.some)} above 0`),
          text({ x: left - 18, y: y + 4, "text-anchor": "end" }, short(nameIn(by, row.code))),
          drawn("rect", { x: left - 13, y: y - 6, width: 6, height: 12, rx: 2, fill: by.colours[row.code] }),
          drawn("line", { x1: a, x2: d, y1: y, y2: y, stroke: "var(--ink)" }),
          drawn("rect", { x: b, y: y - 7, width: Math.max(c - b, 1), height: 14, fill: by.colours[row.code], stroke: "var(--ink)" }),
          drawn("line", { x1: middle, x2: middle, y1: y - 7, y2: y + 7, stroke: "var(--ink)", "stroke-width": 2 }),
          drawn("circle", { cx: across(row.mean), cy: y, r: 3, fill: "#fff", stroke: "#000" }));
      }));
  }
  const classes = ["domain", "annotation"].map((key) => byKey.get(key)).filter((layer) => layer && layer.names[0] !== "none");
  function byDomain() {
    const layer = state.layer.kind === "value" ? state.layer : byKey.get("n_counts");
    find("#by-domain").hidden = !classes.length || !layer;
    if (find("#by-domain").hidden) return;
    const by = byKey.get(find("#by").value || classes[0].key);
    find("#by-title").textContent = `${layer.label} by ${by.label.toLowerCase()}: half of the ${header.unit}s in the box, nine of ten on the line, the mean as a dot`;
    find("#by-domain .wide").replaceChildren(boxes(layer, by, "by_domain"));
  }
  find("#by").append(...classes.map((layer) => make("option", { value: layer.key }, layer.label)));
  find("#by").parentElement.hidden = classes.length < 2;
  find("#by").addEventListener("change", byDomain);
  function qualityByDomain() {
    find("#quality-by")?.replaceChildren(...["n_counts", "n_genes", "mt_share"].filter((key) => byKey.has(key) && classes[0] === domain).map((key) => {
      const layer = byKey.get(key);
      const save = find("#by-domain .save").cloneNode(true);
      return make("figure", { "data-figure": `by_${key}`, "data-table": `by_${key}` },
        make("figcaption", {}, make("span", {}, `${layer.label} by domain`), save),
        make("div", { class: "wide", tabindex: 0, role: "group", "aria-label": `${layer.label} by domain` }, boxes(layer, domain, `by_${key}`)));
    }));
  }

  // ---- names of domains ----
  function showNames() {
    naming.forEach((field) => { field.value = called.get(Number(field.dataset.naming)) ?? ""; });
    legends();
    report();
    qualityByDomain();
    if (find("#markers")) fillMarkers();
  }
  function keepNames() {
    called.clear();
    for (const field of naming) if (field.value.trim()) called.set(Number(field.dataset.naming), field.value.trim());
    try {
      localStorage.setItem(shelf, JSON.stringify([...called]));
    } catch { /* then names last as long as the page */ }
    showNames();
  }
  const nameRows = () => [["domain", "name"], ...[...called].sort(([a], [b]) => a - b).map(([code, name]) => [domain.names[code], name])];
  naming.forEach((field) => field.addEventListener("change", keepNames));
  find("#names-suggested")?.addEventListener("click", () => {
    for (const field of naming) field.value ||= field.placeholder;
    keepNames();
  });
  find("#names-save")?.addEventListener("click", () => saveTable(`${sample}_domain_names`, nameRows()));

  // ---- saving ----
  function spotRows(coordinates, names, shown, some) {
    const extra = shown.flatMap((layer) => layer.parts ?? layer).filter((layer) => layer !== domain && !["confidence", "image"].includes(layer.key));
    const rows = [["spot", ...names, "domain", "confidence", ...(called.size ? ["domain_name"] : []), ...extra.map((one) => one.label)]];
    const exact = (one, i) => { const v = numbers(one.data)[i]; return one.kind === "category" ? one.names[v] : Number.isNaN(v) ? null : Number(v.toPrecision(6)); };
    for (const i of some ?? Array(n).keys()) {
      rows.push([spotName(i), ...coordinates.map((values) => Number(values[i].toPrecision(7))), exact(domain, i), exact(byKey.get("confidence"), i), ...(called.size ? [called.get(codes[i])] : []), ...extra.map((one) => exact(one, i))]);
    }
    return rows;
  }
  async function savePlot(plot, as) {
    const tissue = isTissue(plot);
    const layer = plot === map ? state.layer : sideLayer();
    const name = `${sample}_${tissue ? "tissue" : "embedding"}_${layer.label}`;
    const coordinates = tissue ? [x, y] : embedding;
    if (as === "tsv") return saveTable(name, spotRows(coordinates, tissue ? ["x", "y"] : ["PC1", "PC2"], [layer], null));
    const size = { width: 900, height: 800 };
    const base = { ...trace(layer, tissue), type: n <= 20000 || !hasGl ? "scatter" : "scattergl" };
    const live = plot._fullLayout;
    base.marker = { ...base.marker, size: plot.data[0].marker.size * Math.min((size.width - 190) / live.width, (size.height - 60) / live.height) };
    const chosen = state.chosen && new Set(state.chosen);
    let traces;
    if (layer.kind === "image") traces = [{ ...base, showlegend: false }];
    else if (layer.kind === "blend") {
      const hues = [["neither", 0, 0], [`${layer.parts[0].label} alone`, 1, 0], [`${layer.parts[1].label} alone`, 0, 1], ["both", 1, 1]];
      traces = [{ ...base, showlegend: false }, ...hues.map(([name, a, b]) => ({ type: "scatter", mode: "markers", x: [null], y: [null], name: plain(name), marker: { color: mixed(a, b), size: 9 } }))];
    } else if (layer.kind === "category") {
      const of = numbers(layer.data);
      traces = layer.names.map((_, code) => {
        const members = Array.from(of.keys()).filter((i) => of[i] === code);
        return {
          ...base, name: plain(nameIn(layer, code)), x: members.map((i) => coordinates[0][i]), y: members.map((i) => coordinates[1][i]),
          marker: { ...base.marker, color: layer.colours[code] },
          selectedpoints: chosen && members.flatMap((i, at) => (chosen.has(i) ? [at] : [])),
        };
      }).filter((one) => one.x.length);
    } else {
      const { lo, hi } = range(layer);
      traces = [{
        ...base, showlegend: false,
        marker: {
          ...base.marker, color: Array.from(numbers(layer.data)), cmin: lo, cmax: hi, showscale: true,
          colorscale: header.scale.map((colour, i) => [i / (header.scale.length - 1), colour]), colorbar: { thickness: 14, len: 0.5, outlinewidth: 0, title: { text: [plain(layer.label), unitOf(layer)].filter(Boolean).join("<br>"), font: { size: 12 } } },
        },
      }];
    }
    const figure = {
      ...layout(layer, tissue, live.xaxis.range), ...(tissue ? zoomOf(plot) : {}), ...size, showlegend: ["category", "blend"].includes(layer.kind),
      title: { text: `${plain(sample)}: ${plain(layer.label)}`, x: 0.02, font: { size: 17 } }, margin: { l: 10, r: 10, t: 50, b: 10 },
      font: { family: "Helvetica, Arial, sans-serif", color: "#1b1f24" }, paper_bgcolor: "#ffffff", legend: { itemsizing: "constant", title: { text: plain(layer.label) } },
    };
    const url = await Plotly.toImage({ data: traces, layout: figure }, { format: "svg", ...size });
    await savePicture(name, as, decodeURIComponent(url.slice(url.indexOf(",") + 1)), size.width, size.height);
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-as]");
    if (!button) return;
    const as = button.dataset.as;
    const box = button.closest(".save");
    if (box.dataset.plot) return savePlot(box.dataset.plot === "map" ? map : side, as);
    if (box.dataset.table === "markers") return saveTable(`${sample}_markers`, [MARKER_COLUMNS, ...listed()]);
    const figure = button.closest("figure");
    if (figure.dataset.figure in galleries) return saveGallery(figure.dataset.figure, as);
    if (figure.dataset.figure === "dropped_map") return saveLost(as);
    if (as === "tsv") return saveTable(`${sample}_${figure.dataset.table}`, header.tables[figure.dataset.table]);
    const svg = find("svg", figure);
    return savePicture(`${sample}_${figure.dataset.figure}`, as, standalone(svg), svg.width.baseVal.value, svg.height.baseVal.value);
  });

  find("#all").addEventListener("click", async (event) => {
    event.target.disabled = true;
    await saveTogether(sample, async () => {
      for (const plot of [map, side]) await savePlot(plot, "svg");
      saveTable(`${sample}_spots`, spotRows([x, y, ...embedding], ["x", "y", "PC1", "PC2"], layers, null));
      for (const [name, rows] of Object.entries(header.tables)) saveTable(`${sample}_${name}`, rows);
      if (header.markers.length) saveTable(`${sample}_markers`, [MARKER_COLUMNS, ...header.markers]);
      if (called.size) saveTable(`${sample}_domain_names`, nameRows());
      if (regions.size) saveTable(`${sample}_regions`, regionRows());
      for (const figure of findAll("figure[data-figure]")) if (find("svg", figure)) saveFile(`${sample}_${figure.dataset.figure}.svg`, standalone(find("svg", figure)));
      for (const name of Object.keys(galleries)) if (galleries[name].length) await saveGallery(name, "svg");
      for (const name of ["methods", "command"]) if (find(`[data-copied=${name}]`)) saveFile(`${sample}_${name}.txt`, `${find(`[data-copied=${name}]`).textContent}\n`);
      saveFile(`${sample}.bib`, header.bibtex);
    });
    event.target.disabled = false;
  });
  find("#bibtex").addEventListener("click", () => saveFile(`${sample}.bib`, header.bibtex, "application/x-bibtex"));
  findAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    const source = find(`[data-copied=${button.dataset.copy}]`);
    getSelection().selectAllChildren(source); // where a browser keeps its clipboard, the text is at least marked
    await navigator.clipboard?.writeText(source.textContent);
    button.textContent = navigator.clipboard ? "Copied" : "Marked";
  }));

  // ---- markers ----
  const MARKER_COLUMNS = ["domain", "gene", "log_fold_change", "auc", "p_adjusted", "share_in", "share_out"];
  const order = { column: null, sign: 1, limit: 20 };
  function listed() {
    const wanted = find("#gene-search").value.trim().toLowerCase();
    const where = find("#gene-domain").value;
    const rows = header.markers.filter((row) => (!where || row[0] === where) && row[1].toLowerCase().includes(wanted));
    return order.column === null ? rows : rows.sort((a, b) => compare(a[order.column], b[order.column], order.sign));
  }
  function fillMarkers() {
    const rows = listed();
    const swatch = new Map(domain.names.map((name, k) => [name, domain.colours[k]]));
    find("#marker-table tbody").replaceChildren(...rows.slice(0, order.limit).map((row) => make("tr", {},
      make("td", {}, make("span", { class: "swatch", style: `background:${swatch.get(row[0])}` }), ` ${titleOf(domain.names.indexOf(row[0]))}`),
      make("td", {}, placeOf.has(row[1]) ? make("button", { type: "button", class: "link", "data-gene": row[1] }, row[1]) : row[1]),
      make("td", { class: "number" }, row[2] === null ? "–" : row[2].toFixed(2)),
      make("td", { class: "number" }, row[3] === null ? "–" : row[3].toFixed(2)),
      make("td", { class: "number" }, row[4] === null ? "–" : row[4] === 0 ? "< 1e-300" : row[4].toExponential(1)),
      make("td", { class: "number" }, row[5] === null ? "–" : percent(row[5])),
      make("td", { class: "number" }, row[6] === null ? "–" : percent(row[6])))));
    find("#marker-count").textContent = `${Math.min(order.limit, rows.length)} of ${rows.length} rows`;
    find("#marker-more").hidden = rows.length <= order.limit;
  }
  if (find("#markers")) {
    for (const [id, event] of [["#gene-search", "input"], ["#gene-domain", "change"]]) {
      find(id).addEventListener(event, () => { order.limit = 20; fillMarkers(); });
    }
    find("#marker-more").addEventListener("click", () => { order.limit += 200; fillMarkers(); });
    sortable(find("#marker-table"), (column, sign) => { Object.assign(order, { column, sign }); fillMarkers(); });
    fillMarkers();
  }

  // ---- small maps ----
  const waiting = new Map();
  const watcher = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => { if (isIntersecting) paintNow(target); }), { rootMargin: "300px" });
  function paintNow(canvas) {
    if (waiting.has(canvas)) paint(canvas, ...waiting.get(canvas)());
    waiting.delete(canvas);
    watcher.unobserve(canvas);
  }
  addEventListener("beforeprint", () => {
    [...waiting.keys()].forEach(paintNow);
    for (const plot of [map, side]) {
      const shrink = Math.min(1, 320 / plot.clientWidth); // px: two panels side by side on A4
      plot.style.setProperty("--shrink", shrink);
      plot.style.setProperty("--tall", `${plot.clientHeight * shrink}px`);
    }
  });
  const galleries = { types: [], genes: [] };
  /** From what to what all maps of a gallery are coloured; undefined: each in its own span. */
  function spanOf(name) {
    if (!find(`[data-common=${name}]`)?.checked) return undefined;
    const all = galleries[name].map(({ layer }) => range(layer));
    return { lo: Math.min(...all.map(({ lo }) => lo)), hi: Math.max(...all.map(({ hi }) => hi)) };
  }
  const tile = (name, { layer }) => ({ x, y, width: diameter, microns: header.microns, colours: colours(layer, spanOf(name)) });
  function later(canvas, map) {
    waiting.set(canvas, map);
    watcher.observe(canvas);
  }
  const top = (layer) => `${range(layer).hi < layer.data.hi ? "≥ " : ""}${say(range(layer).hi)}`;
  const mean = (layer) => { const values = numbers(layer.data).filter((v) => !Number.isNaN(v)); return values.reduce((a, b) => a + b, 0) / (values.length || 1); };
  for (const layer of layers) {
    if (layer.key.startsWith("type:")) galleries.types.push({ layer, note: `mean ${percent(mean(layer))}, most ${percent(range(layer).hi)}`, rank: mean(layer) });
  }
  galleries.types.sort((a, b) => b.rank - a.rank);
  for (const name of domain.names) {
    const row = header.markers.find((one) => one[0] === name && placeOf.has(one[1]) && !galleries.genes.some(({ layer }) => layer.label === one[1]));
    if (row) galleries.genes.push({ layer: await layerOf(`gene:${row[1]}`), note: `domain ${name}, yellow ${top(await layerOf(`gene:${row[1]}`))}` });
  }
  for (const [name, maps] of Object.entries(galleries)) {
    const canvases = [];
    find(`[data-common=${name}]`)?.addEventListener("change", () => {
      canvases.forEach((canvas, k) => { watcher.unobserve(canvas); later(canvas, () => [150, tile(name, maps[k])]); });
      const span = spanOf(name);
      find(`[data-scale=${name}]`).textContent = span ? `yellow is ${say(span.hi)} on all` : "";
    });
    find(`[data-figure=${name}] .gallery`)?.append(...maps.map((one) => {
      const { layer, note } = one;
      const canvas = make("canvas", { width: 150, height: 166, "aria-hidden": "true" });
      canvases.push(canvas);
      later(canvas, () => [150, tile(name, one)]);
      return make("button", { type: "button", onclick: () => { show(layer); find("#tissue").scrollIntoView(); } }, canvas, make("span", {}, layer.label, make("small", {}, note)));
    }));
  }
  function saveGallery(name, as) {
    const maps = galleries[name];
    if (as === "tsv") return saveTable(`${sample}_${name}`, spotRows([x, y], ["x", "y"], maps.map(({ layer }) => layer), null));
    return saveSheet(`${sample}_${name}`, as, maps.map((one) => ({ title: one.layer.label, note: one.note, ...tile(name, one) })));
  }
  const lost = header.dropped;
  const lostMap = lost && { x: numbers(lost.x), y: numbers(lost.y), width: diameter, microns: header.microns, colours: Array.from(numbers(lost.codes), (code) => lost.colours[code]) };
  function saveLost(as) {
    if (as !== "tsv") return saveSheet(`${sample}_dropped_map`, as, [{ title: `Dropped ${header.unit}s`, note: lost.names.slice(1).join(", "), ...lostMap }]);
    const of = numbers(lost.codes);
    return saveTable(`${sample}_dropped_map`, [["x", "y", "what"], ...Array.from(of, (code, i) => [Number(lostMap.x[i].toPrecision(6)), Number(lostMap.y[i].toPrecision(6)), lost.names[code]])]);
  }
  if (lost) later(find("[data-figure=dropped_map] canvas"), () => [300, lostMap]);

  // ---- start ----
  find("#layer").value = first.key;
  showNames();
  const library = make("script");
  library.textContent = new TextDecoder().decode(await inflate(find("#library").textContent));
  document.head.append(library);
  await Promise.all([map, side].map(draw));
  for (const plot of [map, side]) {
    let following = false;
    plot.addEventListener("keydown", (event) => steer(plot, event));
    plot.on("plotly_hover", (event) => hint(plot, event));
    plot.on("plotly_unhover", () => { tip.hidden = true; });
    plot.on("plotly_click", ({ points: [point] }) => {
      const layer = plot === map ? state.layer : sideLayer();
      const of = layer.kind === "category" ? layer : domain;
      isolate(of, numbers(of.data)[point.pointIndex]);
    });
    plot.on("plotly_selected", (event) => {
      if (event?.points && !following) choose(event.points.map((point) => point.pointIndex), null);
    });
    plot.on("plotly_deselect", () => clear());
    plot.on("plotly_relayout", async (change) => {
      if (!Object.keys(change).some((key) => key.includes("axis") || key === "autosize") || following) return;
      following = true;
      const other = plot === map ? side : map;
      if (isTissue(plot)) await fitSpots(plot);
      if (isTissue(plot) && isTissue(other) && Object.keys(change).some((key) => key.includes("axis"))) {
        const { xaxis, yaxis } = plot._fullLayout;
        const same = ["xaxis", "yaxis"].every((name) => other._fullLayout[name].range.every((v, i) => Math.abs(v - plot._fullLayout[name].range[i]) < 1e-6 * Math.abs(v || 1)));
        if (!same) await Plotly.relayout(other, { "xaxis.range": xaxis.range.slice(), "yaxis.range": yaxis.range.slice() });
      }
      following = false;
    });
  }
  document.documentElement.dataset.ready = "true";
})();
