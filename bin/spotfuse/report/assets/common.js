"use strict";

const find = (query, root = document) => root.querySelector(query);
const findAll = (query, root = document) => [...root.querySelectorAll(query)];

/** Make an element; text is text, never HTML. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") element.style.cssText = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

async function inflate(text) {
  const coded = atob(text);
  const bytes = Uint8Array.from(coded, (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** Read what the page carries: a header, and a function that gives the numbers which a part of the header points to. */
async function unpack() {
  const whole = await inflate(find("#packed").textContent);
  const length = new DataView(whole).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(whole, 4, length)));
  const read = new Map();
  function numbers(part) {
    if (part.values) return part.values;
    if (!read.has(part.at)) {
      const raw = new { 1: Uint8Array, 2: Uint16Array, 4: Float32Array }[part.w](whole, 4 + length + part.at, part.n);
      if (part.lo === undefined) read.set(part.at, raw);
      else {
        const missing = part.w === 1 ? 255 : 65535;
        const step = (part.hi - part.lo) / (missing - 1);
        read.set(part.at, Float64Array.from(raw, (code) => (code === missing ? NaN : part.lo + code * step)));
      }
    }
    return read.get(part.at);
  }
  return { header, numbers };
}

function ramp(stops, level) {
  const at = Math.min(Math.max(level, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  const [a, b] = [stops[i], stops[i + 1]].map((c) => [1, 3, 5].map((j) => parseInt(c.slice(j, j + 2), 16)));
  return `rgb(${a.map((v, j) => Math.round(v + (b[j] - v) * (at - i))).join(",")})`;
}

let basket = null; // what is saved while files are gathered into one

function saveFile(name, content, type) {
  if (basket) return basket.push([name, content]);
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = make("a", { href: url, download: name.replace(/[^\w.-]+/g, "_") });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function saveTable(name, rows) {
  const cell = (value) => (value === null || value === undefined ? "" : String(value).replace(/[\t\r\n]+/g, " "));
  saveFile(`${name}.tsv`, rows.map((row) => row.map(cell).join("\t")).join("\n") + "\n", "text/tab-separated-values");
}

/** Save all that `save` would save one by one as a single archive; names in it may have folders. */
async function saveTogether(name, save) {
  basket = [];
  let files;
  try {
    await save();
  } finally {
    files = basket;
    basket = null;
  }
  saveFile(`${name}.zip`, await zip(files.map(([path, content]) => [path.split("/").map((part) => part.replace(/[^\w.-]+/g, "_")).join("/"), content])), "application/zip");
}

/** Pack files [[name, text], ...] as ZIP has them: deflated, with a directory at the end. */
async function zip(files) {
  const table = Uint32Array.from({ length: 256 }, (_, k) => {
    for (let bit = 0; bit < 8; bit++) k = k & 1 ? (k >>> 1) ^ 0xedb88320 : k >>> 1;
    return k;
  });
  const record = (signature, ...fields) => { // [bytes, value]: 2 or 4 bytes each, the least first
    const view = new DataView(new ArrayBuffer(4 + fields.reduce((sum, [width]) => sum + width, 0)));
    view.setUint32(0, signature, true);
    let at = 4;
    for (const [width, value] of fields) {
      if (width === 2) view.setUint16(at, value, true);
      else view.setUint32(at, value, true);
      at += width;
    }
    return new Uint8Array(view.buffer);
  };
  const [body, directory] = [[], []];
  let at = 0;
  for (const [name, content] of files) {
    const raw = new TextEncoder().encode(content);
    const packed = new Uint8Array(await new Response(new Blob([raw]).stream().pipeThrough(new CompressionStream("deflate-raw"))).arrayBuffer());
    let crc = -1;
    for (const byte of raw) crc = table[(crc ^ byte) & 255] ^ (crc >>> 8);
    const path = new TextEncoder().encode(name);
    // version 2.0, names in UTF-8, deflated, 1 January 1980
    const common = [[2, 20], [2, 0x800], [2, 8], [2, 0], [2, 33], [4, ~crc >>> 0], [4, packed.length], [4, raw.length], [2, path.length], [2, 0]];
    const local = record(0x04034b50, ...common);
    directory.push(record(0x02014b50, [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), path);
    body.push(local, path, packed);
    at += local.length + path.length + packed.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = record(0x06054b50, [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, at], [2, 0]);
  return new Blob([...body, ...directory, end]);
}

const PRINT_INK = { ink: "#1b1f24", soft: "#57606a", line: "#d9dee4", accent: "#1f6f8b", warn: "#b45309" };

/** Give a drawn figure as SVG text that stands alone, on white. */
function standalone(svg) {
  const copy = svg.cloneNode(true);
  const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
  style.textContent = `text { fill: ${PRINT_INK.ink}; font: 12px Helvetica, Arial, sans-serif; }`;
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [key, value] of Object.entries({ width: "100%", height: "100%", fill: "#ffffff" })) ground.setAttribute(key, value);
  copy.prepend(style, ground);
  return new XMLSerializer().serializeToString(copy).replace(/var\(--(\w+)\)/g, (_, name) => PRINT_INK[name]);
}

async function savePicture(name, as, text, width, height) {
  if (as === "svg") return saveFile(`${name}.svg`, text, "image/svg+xml");
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = make("canvas", { width: width * 3, height: height * 3 });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => saveFile(`${name}.png`, blob, "image/png"));
}

/** Make an element of SVG. */
function drawn(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, typeof value === "number" ? Number(value.toFixed(1)) : value);
  element.append(...children);
  return element;
}

// ---- small maps ----
function extent(values) {
  let lo = Infinity;
  let hi = -Infinity;
  for (const v of values) {
    if (v < lo) lo = v;
    if (v > hi) hi = v;
  }
  return [lo, hi];
}

/** Give the length of a scale bar, 1, 2 or 5 times a power of ten, that is at most so many units long, and its name. */
function scaleBar(most, microns) {
  const wanted = most * (microns ?? 1);
  const power = 10 ** Math.floor(Math.log10(wanted));
  const length = Math.max(...[1, 2, 5].map((m) => m * power).filter((v) => v <= wanted * (1 + 1e-9)));
  const rounded = (v) => Number(v.toPrecision(3)).toString();
  const name = microns ? (length >= 1000 ? `${rounded(length / 1000)} mm` : `${rounded(length)} µm`) : `${rounded(length)} units`;
  return { length: length / (microns ?? 1), name };
}

/** Fit spots of a width, all in units of the tissue, into a square: give functions that place them, and their width there. */
function fitted({ x, y, width }, side) {
  const [[x0, x1], [y0, y1]] = [extent(x), extent(y)];
  const scale = side / (Math.max(x1 - x0, y1 - y0) + 2 * width);
  return {
    across: (i) => side / 2 + (x[i] - (x0 + x1) / 2) * scale,
    down: (i) => side / 2 + (y[i] - (y0 + y1) / 2) * scale,
    dot: Math.max(1, 1.08 * width * scale),
    scale,
  };
}

const BAR_INK = "#7a828b"; // to be read on light and on dark

/** Draw spots, and below them a scale bar. */
function paint(canvas, side, map) {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  canvas.width = Math.round(side * ratio);
  canvas.height = canvas.width + Math.round(16 * ratio);
  const { across, down, dot, scale } = fitted(map, canvas.width);
  const context = canvas.getContext("2d");
  map.colours.forEach((colour, i) => {
    context.fillStyle = colour;
    context.fillRect(across(i) - dot / 2, down(i) - dot / 2, dot, dot);
  });
  const bar = scaleBar((0.35 * canvas.width) / scale, map.microns);
  context.fillStyle = BAR_INK;
  context.fillRect(0, canvas.width + 6 * ratio, bar.length * scale, 2 * ratio);
  context.font = `${11 * ratio}px Helvetica, Arial, sans-serif`;
  context.fillText(bar.name, bar.length * scale + 5 * ratio, canvas.width + 11 * ratio);
}

/** Save small maps as one picture: a tile each, its spots as squares, its title and note below. */
function saveSheet(name, as, maps) {
  const [side, gap, below] = [180, 16, 56];
  const columns = Math.min(maps.length, Math.max(4, Math.ceil(Math.sqrt(maps.length))));
  const text = (content) => content.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const short = (content) => text(content.length > 28 ? `${content.slice(0, 27)}…` : content);
  const tiles = maps.map((map, k) => {
    const { across, down, dot, scale } = fitted(map, side);
    const bar = scaleBar((0.35 * side) / scale, map.microns);
    const long = (bar.length * scale).toFixed(1);
    const paths = new Map();
    map.colours.forEach((colour, i) => paths.set(colour, `${paths.get(colour) ?? ""}M${across(i).toFixed(1)} ${down(i).toFixed(1)}h.01`));
    const drawn = [...paths].map(([colour, path]) => `<path stroke="${colour}" d="${path}"/>`).join("");
    return `<g transform="translate(${gap + (k % columns) * (side + gap)} ${gap + Math.floor(k / columns) * (side + below)})"><title>${text(map.title)}</title>`
      + `<g fill="none" stroke-width="${dot.toFixed(2)}" stroke-linecap="square">${drawn}</g>`
      + `<rect y="${side + 2}" width="${long}" height="2" fill="${PRINT_INK.soft}"/><text class="bar" x="${Number(long) + 5}" y="${side + 7}" font-size="10" fill="${PRINT_INK.soft}">${bar.name}</text>`
      + `<text y="${side + 26}">${short(map.title)}</text><text y="${side + 40}" fill="${PRINT_INK.soft}">${short(map.note ?? "")}</text></g>`;
  });
  const [width, height] = [gap + columns * (side + gap), gap + Math.ceil(maps.length / columns) * (side + below)];
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="Helvetica, Arial, sans-serif" font-size="12">`
    + `<rect width="100%" height="100%" fill="#ffffff"/>${tiles.join("")}</svg>`;
  return savePicture(name, as, svg, width, height);
}

/** Order numbers by size, other text by its natural order, and put what is missing last. */
function compare(a, b, sign) {
  const gone = [a, b].map((v) => v === null || v === undefined || v === "" || v === "–");
  if (gone[0] || gone[1]) return gone[0] - gone[1];
  const [x, y] = [Number(a), Number(b)];
  const order = Number.isNaN(x) || Number.isNaN(y) ? String(a).localeCompare(String(b), "en", { numeric: true }) : x - y;
  return sign * order;
}

/** Make the headers of a table sort it; `sort(column, sign)` does the work. */
function sortable(table, sort) {
  const headers = findAll("thead th", table);
  headers.forEach((header, column) => {
    const button = find("button", header);
    if (!button) return;
    button.addEventListener("click", () => {
      const down = header.getAttribute("aria-sort") === "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(column, down ? -1 : 1);
    });
  });
}

const isDark = () => {
  const forced = document.documentElement.dataset.theme;
  return forced ? forced === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

find("#theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  document.dispatchEvent(new Event("theme"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("theme")));
