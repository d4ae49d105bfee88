// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pictures on canvas: the heat map and lines over time. Each is drawn anew from its data, at the
// screen's resolution, in the page's colours.
import {clock} from './format.js';

const MARGIN = {left: 62, right: 12, top: 8, bottom: 22};

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Dark to bright over equal steps of perceived lightness, readable without colour vision.
const HEAT = [[18, 20, 38], [45, 36, 92], [98, 40, 122], [156, 49, 117], [209, 70, 90], [243, 115, 58], [252, 178, 55],
  [250, 238, 152]];

function heatColour(value) {
  const at = (Math.max(0, Math.min(255, value)) / 255) * (HEAT.length - 1);
  const low = Math.min(HEAT.length - 2, Math.floor(at));
  return HEAT[low].map((c, i) => Math.round(c + (HEAT[low + 1][i] - c) * (at - low)));
}

function prepare(canvas) {
  const box = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(box.width * ratio));
  canvas.height = Math.max(1, Math.round(box.height * ratio));
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  context.clearRect(0, 0, box.width, box.height);
  context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return {context, width: box.width, height: box.height, plot: {x: MARGIN.left, y: MARGIN.top,
    width: Math.max(1, box.width - MARGIN.left - MARGIN.right),
    height: Math.max(1, box.height - MARGIN.top - MARGIN.bottom)}};
}

function timeAxis({context, plot}, from, to) {
  context.fillStyle = css('--quiet');
  context.textBaseline = 'top';
  const steps = Math.max(1, Math.min(4, Math.floor(plot.width / 110)));
  let last = '';
  for (let i = 0; i <= steps; i++) {
    const text = clock(from + ((to - from) * i) / steps);
    if (text === last) continue;
    last = text;
    context.textAlign = i === 0 ? 'left' : i === steps ? 'right' : 'center';
    context.fillText(text, plot.x + (plot.width * i) / steps, plot.y + plot.height + 6);
  }
}

function valueAxis({context, plot}, ticks, place, text) {
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  for (const tick of ticks) {
    const y = place(tick);
    context.strokeStyle = css('--line');
    context.beginPath();
    context.moveTo(plot.x, Math.round(y) + 0.5);
    context.lineTo(plot.x + plot.width, Math.round(y) + 0.5);
    context.stroke();
    context.fillStyle = css('--quiet');
    context.fillText(text(tick), plot.x - 8, y);
  }
}

export function drawLegend(canvas) {
  canvas.width = 256;
  canvas.height = 1;
  const context = canvas.getContext('2d');
  const image = context.createImageData(256, 1);
  for (let i = 0; i < 256; i++) image.data.set([...heatColour(i), 255], i * 4);
  context.putImageData(image, 0, 0);
}

// columns: [{time (ms), cells: [0..255]}], oldest first; size: bytes of memory that the cells cover.
// Returns what lies below a point of the canvas, for the tip.
export function drawHeat(canvas, columns, size, text) {
  const frame = prepare(canvas);
  const {context, plot} = frame;
  const rows = Math.max(...columns.map((c) => c.cells.length));
  const image = new ImageData(columns.length, rows);
  columns.forEach((column, x) => {
    column.cells.forEach((value, y) => {
      image.data.set([...heatColour(value), 255], ((rows - 1 - y) * columns.length + x) * 4);
    });
  });
  const small = new OffscreenCanvas(columns.length, rows);
  small.getContext('2d').putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, plot.x, plot.y, plot.width, plot.height);
  context.fillStyle = css('--quiet');
  context.textAlign = 'right';
  [0, 0.25, 0.5, 0.75, 1].forEach((share) => {
    context.textBaseline = share === 0 ? 'bottom' : share === 1 ? 'top' : 'middle';
    context.fillText(text(size * share), plot.x - 8, plot.y + plot.height * (1 - share));
  });
  timeAxis(frame, columns[0].time, columns[columns.length - 1].time);
  return (x, y) => {
    const column = columns[Math.floor(((x - plot.x) / plot.width) * columns.length)];
    const row = Math.floor((1 - (y - plot.y) / plot.height) * rows);
    if (!column || x < plot.x || row < 0 || row >= rows) return null;
    return {time: column.time, from: (size * row) / rows, to: (size * (row + 1)) / rows, value: column.cells[row] ?? 0};
  };
}

// Round numbers up to `most`: 1, 2 or 5 times a power of `base` apart.
function linearTicks(most, base) {
  const rough = most / 4;
  const power = base ** Math.floor(Math.log(rough) / Math.log(base));
  const factors = base === 1024 ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : [1, 2, 5, 10];
  const step = power * (factors.find((f) => f * power >= rough) ?? base);
  return Array.from({length: Math.ceil(most / step) + 1}, (_, i) => i * step);
}

function logTicks(least, most) {
  const ticks = [];
  for (let tick = 10 ** Math.floor(Math.log10(least)); tick < most * 10; tick *= 10) ticks.push(tick);
  return ticks;
}

// series: [[number, ...], ...] beside times; log: logarithmic, for what spans orders of magnitude.
export function drawLines(canvas, times, series, {text, log = false, base = 10, colours = ['--one', '--two']}) {
  const frame = prepare(canvas);
  const {context, plot} = frame;
  const values = series.flat().filter((v) => Number.isFinite(v) && (!log || v > 0));
  const most = Math.max(...values, log ? 10 : 1);
  const ticks = log ? logTicks(Math.min(...values, most), most) : linearTicks(most, base);
  const top = ticks[ticks.length - 1];
  const place = log
    ? (v) => plot.y + plot.height * (1 - Math.log(Math.max(v, ticks[0]) / ticks[0]) / Math.log(top / ticks[0] || 10))
    : (v) => plot.y + plot.height * (1 - v / top);
  valueAxis(frame, ticks, place, text);
  const from = times[0];
  const to = times[times.length - 1];
  const across = (time) => plot.x + (to > from ? ((time - from) / (to - from)) * plot.width : plot.width);
  series.forEach((line, i) => {
    context.strokeStyle = css(colours[i]);
    context.lineWidth = 1.75;
    context.lineJoin = 'round';
    context.beginPath();
    let drawing = false;
    line.forEach((value, n) => {
      // Nothing happened, so there is no latency to show: a gap, not a zero.
      if (!Number.isFinite(value) || (log && value <= 0)) {
        drawing = false;
        return;
      }
      context[drawing ? 'lineTo' : 'moveTo'](across(times[n]), place(value));
      if (!drawing) context.lineTo(across(times[n]) + 0.5, place(value));
      drawing = true;
    });
    context.stroke();
  });
  timeAxis(frame, from, to);
  return (x) => {
    if (x < plot.x || x > plot.x + plot.width) return null;
    const time = from + ((x - plot.x) / plot.width) * (to - from);
    let nearest = 0;
    times.forEach((t, n) => {
      if (Math.abs(t - time) < Math.abs(times[nearest] - time)) nearest = n;
    });
    return {time: times[nearest], values: series.map((line) => line[nearest])};
  };
}
