'use strict';
// A card a column: its histogram before and after scaling, a page of cards at a time.
(() => {
  const { root, data, element, colour, faint, digits, scale } = omninormPage;
  const { columns } = data;
  const PAGE = 12;
  const state = { page: 0, words: '', order: 'file', log: false };
  const charts = [];

  const count = (value) => value.toLocaleString('en');
  const short = (value) => (value >= 1e6 ? `${Number((value / 1e6).toPrecision(3))} M` : value >= 1e4 ? `${Number((value / 1e3).toPrecision(3))} k` : count(value));
  const share = (part, whole) => {
    if (part === 0 || whole === 0) return '0 %';
    const percent = (100 * part) / whole;
    return percent < 0.01 ? 'under 0.01 %' : `${Number(percent.toPrecision(2))} %`;
  };
  // As many digits as tell values apart that lie a step from each other, far from 0 as they may be.
  const fine = (value, step) => {
    if (value === null || !Number.isFinite(value)) return '–';
    if (value === 0 || !(step > 0) || !Number.isFinite(step)) return digits(value);
    const size = Math.floor(Math.log10(Math.abs(value))), unit = Math.floor(Math.log10(step));
    if (size >= 9 || size < -4) return String(Number(value.toPrecision(Math.min(15, Math.max(1, size - unit + 1)))).toExponential()).replace('e+', 'e');
    return value.toLocaleString('en', { maximumFractionDigits: Math.min(12, Math.max(0, -unit)) });
  };
  const beyond = (column) => column.below + column.above;

  // ---- which columns, in which order ------------------------------------------------------------
  const orders = {
    file: ['as in the scaler', (a, b) => a.at - b.at],
    name: ['by name', (a, b) => a.name.localeCompare(b.name, 'en', { numeric: true })],
    beyond: ['most values beyond first', (a, b) => beyond(b) / (b.values || 1) - beyond(a) / (a.values || 1)],
    missing: ['most missing first', (a, b) => b.missing / (b.values + b.missing || 1) - a.missing / (a.values + a.missing || 1)],
  };
  if (columns.some((column) => column.moved !== null)) orders.moved = ['farthest moved first', (a, b) => Math.abs(b.moved ?? 0) - Math.abs(a.moved ?? 0)];
  const chosen = () => columns.filter((column) => column.name.toLowerCase().includes(state.words.toLowerCase())).sort((a, b) => orders[state.order][1](a, b) || a.at - b.at);

  // ---- a chart ----------------------------------------------------------------------------------
  // Bars at both ends, apart from the others, stand for all that lies beyond the bins.
  const points = (bins) => {
    const width = (bins.high - bins.low) / bins.counts.length;
    const inner = bins.counts.map((y, i) => ({ x: bins.low + (i + 0.5) * width, y, from: bins.low + i * width, to: bins.low + (i + 1) * width }));
    const outer = [];
    if (bins.below) outer.push({ x: bins.low - 1.5 * width, y: bins.below, to: bins.low });
    if (bins.above) outer.push({ x: bins.high + 1.5 * width, y: bins.above, from: bins.high });
    return { width, inner, outer };
  };
  const band = (marks) => ({ id: 'band', beforeDatasetsDraw: (chart) => {
    const { ctx, chartArea: area, scales: { x } } = chart;
    const at = (value) => Math.min(area.right, Math.max(area.left, x.getPixelForValue(value)));
    ctx.save();
    if (marks.low !== null && marks.high > marks.low) {
      ctx.fillStyle = faint(colour('--ink'), 0.09);
      ctx.fillRect(at(marks.low), area.top, Math.max(1, at(marks.high) - at(marks.low)), area.height);
    }
    ctx.restore();
  }, afterDatasetsDraw: (chart) => {
    const { ctx, chartArea: area, scales: { x } } = chart;
    if (marks.middle === null || marks.middle < x.min || marks.middle > x.max) return;
    ctx.save();
    ctx.strokeStyle = colour('--ink');
    ctx.setLineDash([4, 3]);
    ctx.beginPath();
    ctx.moveTo(x.getPixelForValue(marks.middle), area.top);
    ctx.lineTo(x.getPixelForValue(marks.middle), area.bottom);
    ctx.stroke();
    ctx.restore();
  } });
  const range = (point, step) => (point.from === undefined ? `below ${fine(point.to, step)}` : point.to === undefined ? `above ${fine(point.from, step)}` : `${fine(point.from, step)} to ${fine(point.to, step)}`);
  const draw = (canvas, bins, marks, ink, total) => {
    const { width, inner, outer } = points(bins);
    const set = (points_, name) => ({ data: points_, kind: 'bar', backgroundColor: colour(name), borderWidth: 0, barPercentage: 1, categoryPercentage: 1, grouped: false });
    const x = scale('', false, { min: bins.low - (bins.below ? 2.3 : 0.4) * width, max: bins.high + (bins.above ? 2.3 : 0.4) * width });
    x.grid = { ...x.grid, display: false };
    x.offset = false;
    Object.assign(x.ticks, { maxTicksLimit: 7, callback: (value, i, ticks) => fine(value, ticks.length > 1 ? 1.0001 * (ticks[1].value - ticks[0].value) : width) });
    const y = scale('', state.log, state.log ? { min: 0.7 } : { min: 0 });
    if (!state.log) Object.assign(y.ticks, { maxTicksLimit: 4, precision: 0, callback: short });
    charts.push(new Chart(canvas, {
      type: 'bar',
      data: { datasets: [set(inner, ink), set(outer, '--c0')].filter((made) => made.data.length) },
      options: {
        responsive: true, maintainAspectRatio: false, animation: false, resizeDelay: 50, scales: { x, y },
        interaction: { mode: 'nearest', axis: 'x', intersect: false },
        plugins: { legend: { display: false }, tooltip: { displayColors: false, callbacks: {
          title: (items) => (items.length ? range(items[0].raw, width / 10) : ''),
          label: (item) => `${count(item.raw.y)} values (${share(item.raw.y, total)})` } } },
      },
      plugins: [band(marks)],
    }));
  };

  // ---- a card -----------------------------------------------------------------------------------
  const figure = (column, caption, bins, marks, ink) => {
    const frame = element('div', { className: 'frame' });
    const made = element('figure', {}, element('figcaption', {}, caption), frame);
    if (column.values === 0) {
      frame.append(element('p', { className: 'empty' }, 'No values.'));
      return { made };
    }
    const canvas = element('canvas', { role: 'img', 'aria-label': `${column.name}, histogram ${caption}; the table below has the figures` });
    frame.append(canvas);
    return { made, make: () => draw(canvas, bins, marks, ink, column.values) };
  };
  const card = (column) => {
    const figures = [figure(column, 'before', column.before, column.marks, '--c1'), figure(column, 'after', column.after, column.after_marks, '--c2')];
    const words = [`${count(column.values)} values`];
    if (column.missing) words.push(`${count(column.missing)} missing (${share(column.missing, column.values + column.missing)})`);
    if (beyond(column) && !column.odd) words.push(`${count(beyond(column))} ${data.outliers}`);
    if (column.infinite) words.push(`${count(column.infinite)} infinite`);
    if (column.values) words.push(`${fine(column.minimum, column.deviation / 20)} to ${fine(column.maximum, column.deviation / 20)}`, `mean ${fine(column.mean, column.deviation / 200)}`, `sd ${digits(column.deviation)}`);
    return { figures, made: element('article', { className: 'card' },
      element('h3', {}, column.name),
      ...(column.notes.length ? [element('p', { className: 'note' }, column.notes.join(' · '))] : []),
      element('p', { className: 'line' }, words.join(' · ')),
      element('div', { className: 'pair' }, ...figures.map((one) => one.made))) };
  };

  // ---- the page ---------------------------------------------------------------------------------
  const cards = document.querySelector('.cards');
  const pager = document.querySelector('.pager');
  const shown = document.querySelector('.shown');
  const attempt = (one) => {
    try {
      one.make?.();
    } catch (error) {
      one.made.querySelector('.frame').replaceChildren(element('p', { className: 'failed-chart' }, `This chart could not be drawn: ${error.message}`));
      console.error(error);
    }
  };
  const show = () => {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 11;
    Chart.defaults.color = colour('--soft');
    for (const chart of charts.splice(0)) chart.destroy();
    const all = chosen();
    const pages = Math.max(1, Math.ceil(all.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const first = state.page * PAGE;
    const made = all.slice(first, first + PAGE).map(card);
    cards.classList.toggle('single', columns.length === 1);
    cards.replaceChildren(...made.map((one) => one.made));
    for (const one of made) one.figures.forEach(attempt);
    shown.textContent = all.length === 0 ? 'No column has this in its name.'
      : pages > 1 ? `Columns ${count(first + 1)} to ${count(first + made.length)} of ${count(all.length)}${all.length < columns.length ? ` that match (${count(columns.length)} in all)` : ''}`
        : all.length < columns.length ? `${count(all.length)} of ${count(columns.length)} columns match` : '';
    pager.hidden = pages === 1;
    place.textContent = `page ${count(state.page + 1)} of ${count(pages)}`;
    back.disabled = state.page === 0;
    on.disabled = state.page === pages - 1;
    // For tests.
    root.dataset.charts = String(document.querySelectorAll('.cards canvas, .failed-chart').length);
    root.dataset.drawn = String(charts.filter((chart) => chart.getDatasetMeta(0).data.some((bar) => Number.isFinite(bar.x) && Number.isFinite(bar.y))).length);
  };
  const turn = (step) => {
    state.page += step;
    show();
    document.getElementById('columns').scrollIntoView({ block: 'start' });
  };
  const back = element('button', { type: 'button', className: 'plain' }, '‹ previous');
  const on = element('button', { type: 'button', className: 'plain' }, 'next ›');
  const place = element('span', { className: 'place' });
  back.onclick = () => turn(-1);
  on.onclick = () => turn(1);
  pager.append(back, place, on);

  const options = document.querySelector('.options');
  if (columns.length > 1) {
    const words = element('input', { type: 'search', id: 'words', placeholder: 'part of a name' });
    words.oninput = () => { state.words = words.value; state.page = 0; show(); };
    const order = element('select', { id: 'order' }, ...Object.entries(orders).map(([value, [text]]) => element('option', { value }, text)));
    order.onchange = () => { state.order = order.value; state.page = 0; show(); };
    options.append(element('label', { for: 'words' }, 'Find'), words, element('label', { for: 'order' }, 'Order'), order);
  }
  const log = element('button', { type: 'button', className: 'plain', 'aria-pressed': 'false' }, 'logarithmic counts');
  log.onclick = () => { state.log = !state.log; log.setAttribute('aria-pressed', String(state.log)); show(); };
  options.append(log);
  options.hidden = false;
  columns.forEach((column, i) => { column.at = i; });
  show();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);
  addEventListener('beforeprint', () => charts.forEach((chart) => chart.resize()));
})();
