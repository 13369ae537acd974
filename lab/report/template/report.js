'use strict';
// Draws the charts from the page's own data. Colour and point shape stand for the first varied
// setting, dashes and panels for the second; further ones are chosen in the legend.
(() => {
  const root = document.documentElement;
  root.dataset.errors = '0';
  addEventListener('error', () => { root.dataset.errors = String(Number(root.dataset.errors) + 1); });

  const data = JSON.parse(document.getElementById('data').textContent);
  const { axes, runs, variants } = data;
  const SHAPES = ['circle', 'rect', 'triangle', 'rectRot', 'star', 'cross'];
  const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [14, 4]];
  const PANELS = 4;  // side by side; more stand together
  const FP16_MAX = 65504;
  const several = variants.some((variant) => variant.runs.length > 1);
  const state = { hidden: [new Set(), new Set()], rest: axes.map(() => 0), together: false, options: {} };
  const charts = [];

  const element = (tag, properties = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in made && typeof value !== 'string') made[name] = value;
      else made.setAttribute(name === 'className' ? 'class' : name, value);
    }
    made.append(...children);
    return made;
  };
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const primary = (variant) => variant.values[0] ?? 0;
  const second = (variant) => variant.values[1] ?? 0;
  const colourOf = (variant) => colour(`--c${primary(variant) % 8}`);
  const shapeOf = (variant) => SHAPES[primary(variant) % SHAPES.length];
  // Panels tell the second setting by themselves; dashes are for lines in one chart.
  const dashOf = (variant) => (panelled() ? [] : DASHES[second(variant) % DASHES.length]);
  const faint = (hex, alpha) => hex + Math.round(alpha * 255).toString(16).padStart(2, '0');

  const digits = (value) => {
    if (value === null || !Number.isFinite(value)) return '–';
    const size = Math.abs(value);
    if (size !== 0 && (size >= 1e7 || size < 1e-3)) return value.toExponential(1).replace('e+', 'e');
    return size >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(4)));
  };
  const brief = (value) => (Math.abs(value) >= 100 || Math.abs(value) < 1e-3 ? digits(Number(value.toPrecision(3))) : value.toPrecision(3));
  // On a log axis: powers of ten, with 2 and 5 where few of them are in sight; no grid in between.
  const logTick = function (value) {
    const span = Math.log10(this.max / this.min);
    const lead = value / 10 ** Math.floor(Math.log10(value) + 1e-9);
    const near = (a) => Math.abs(lead - a) < 1e-6;
    if (near(1)) {
      const every = Math.ceil(span / 8);
      return Math.round(Math.log10(value)) % every === 0 ? digits(value) : '';
    }
    return span < 2.2 && (near(2) || near(5)) ? digits(value) : '';
  };

  // ---- series ----------------------------------------------------------------------------------
  const pairs = (column) => column.x.map((x, i) => ({ x, y: column.y[i] })).filter((p) => p.y !== null);
  const overTime = (metric, block) => (run) => run.probes.step
    .map((x, i) => ({ x, y: run.probes[metric][i].at(block) ?? null })).filter((p) => p.y !== null);
  const overDepth = (metric, index) => (run) => (run.probes[metric].at(index) ?? [])
    .map((y, i) => ({ x: i + 1, y })).filter((p) => p.y !== null);

  // Mean over the seeds at each x (of logarithms on a log axis), with the lowest and highest.
  const overSeeds = (variant, series, log) => {
    const all = variant.runs.map((index) => series(runs[index]).filter((p) => !log || p.y > 0));
    if (all.length === 1) return { mean: all[0], low: [], high: [] };
    const at = new Map();
    for (const points of all) for (const { x, y } of points) at.set(x, [...(at.get(x) ?? []), y]);
    const most = Math.max(0, ...[...at.values()].map((values) => values.length));
    const mean = [], low = [], high = [];
    for (const [x, values] of [...at].sort((a, b) => a[0] - b[0])) {
      // Odd last steps of a run that ended early would make the mean jump.
      if (values.length === 1 && most > 1 && !all.some((points) => points.at(-1)?.x === x && points.length > at.size / 2)) continue;
      const sum = values.reduce((total, y) => total + (log ? Math.log(y) : y), 0) / values.length;
      mean.push({ x, y: log ? Math.exp(sum) : sum });
      low.push({ x, y: Math.min(...values) });
      high.push({ x, y: Math.max(...values) });
    }
    return { mean, low, high };
  };

  const line = (variant, points, more = {}) => {
    const every = Math.max(1, Math.round(points.length / 6));
    const shift = Math.floor(every * (primary(variant) + 0.5) / Math.max(1, axes[0]?.values.length ?? 1));
    return {
      label: variant.title, tag: variant.tag ?? variant.primary, data: points, borderColor: colourOf(variant), backgroundColor: colourOf(variant),
      borderWidth: 2, borderDash: dashOf(variant), pointStyle: shapeOf(variant), tension: 0, kind: 'line',
      clip: { left: 8, top: 0, right: 8, bottom: 8 },
      pointRadius: (context) => (points.length < 14 || context.dataIndex % every === shift % every ? 4.5 : 0),
      pointHoverRadius: 6, pointBorderWidth: ['star', 'cross'].includes(shapeOf(variant)) ? 2 : 1, ...more,
    };
  };
  const band = (variant, { low, high }) => (low.length === 0 ? [] : [
    { label: variant.title, data: low, kind: 'aid', borderWidth: 0, pointRadius: 0, pointHitRadius: 0, fill: '+1', backgroundColor: faint(colourOf(variant), 0.13) },
    { label: variant.title, data: high, kind: 'aid', borderWidth: 0, pointRadius: 0, pointHitRadius: 0 }]);
  const cross = (variant, point, label) => ({
    label: `${variant.title} ${label}`, data: [point], kind: 'mark', showLine: false, pointStyle: 'crossRot',
    pointRadius: 8, pointHoverRadius: 10, pointBorderWidth: 3, borderColor: colourOf(variant), backgroundColor: colourOf(variant), clip: false,
  });
  // A line per variant, with its band.
  const lines = (group, series, log) => group.flatMap((variant) => {
    const points = overSeeds(variant, series, log);
    return points.mean.length === 0 ? [] : [line(variant, points.mean), ...band(variant, points)];
  });
  // The first probe, faint, beneath the end of the run.
  const startAndEnd = (group, metric) => [
    ...lines(group, overDepth(metric, -1), true),
    ...group.flatMap((variant) => {
      const { mean } = overSeeds(variant, overDepth(metric, 0), true);
      return mean.length === 0 ? [] : [line(variant, mean, {
        label: `${variant.title}, first probe`, borderColor: faint(colourOf(variant), 0.4), backgroundColor: faint(colourOf(variant), 0.4),
        borderWidth: 1.5, pointRadius: 2.5, kind: 'start' })];
    }),
  ];

  // ---- the charts ------------------------------------------------------------------------------
  const blocks = [['-1', 'last block'], ['0', 'first block']];
  const lossRange = (group) => {
    const ends = group.flatMap((variant) => variant.runs.map((index) => runs[index]))
      .filter((run) => run.status !== 'diverged').map((run) => pairs(run.loss).at(-1)?.y).filter((y) => y !== undefined);
    if (ends.length === 0) return {};
    const low = Math.min(...ends), high = Math.max(...ends);
    const first = Math.max(...group.flatMap((variant) => variant.runs.map((index) => pairs(runs[index].loss)[0]?.y ?? 0)));
    const top = high + Math.max(0.35 * (high - low), 0.25 * (first - high), 0.05);
    return { min: Math.max(0, low - 0.08 * (top - low)), max: Math.min(top, Math.max(first * 1.02, high * 1.02)) };
  };
  const lossChart = (group) => ({
    x: 'step', y: 'loss, nats per byte', range: lossRange(group.all),
    datasets: [
      ...lines(group.shown, (run) => pairs(run.loss), false).map((set) => (group.shown.some((variant) => variant.title === set.label && variant.runs.every((index) => runs[index].status === 'diverged')) ? { ...set, tag: null } : set)),
      ...(state.options.raw ? group.shown.flatMap((variant) => variant.runs.map((index) => ({
        ...line(variant, pairs(runs[index].raw)), label: `${variant.title}, each batch`, kind: 'aid', borderWidth: 0.7, pointRadius: 0, borderDash: [], borderColor: faint(colourOf(variant), 0.5), order: 5 }))) : []),
      ...group.shown.flatMap((variant) => {
        const { mean } = overSeeds(variant, (run) => pairs(run.valid), false);
        return mean.length === 0 ? [] : [{ ...line(variant, mean), label: `${variant.title}, validation`, kind: 'valid', showLine: false, pointRadius: 6, backgroundColor: 'transparent', pointBorderWidth: 2 }];
      }),
      ...group.shown.flatMap((variant) => variant.runs.map((index) => runs[index]).filter((run) => run.status === 'diverged')
        .flatMap((run) => {
          const last = pairs(run.loss).at(-1);
          return last ? [{ ...cross(variant, { x: last.x, y: Math.min(last.y, lossRange(group.all).max ?? last.y) }, 'diverged'), tag: `${variant.primary} diverged` }] : [];
        })),
    ],
  });

  const lrAxis = axes.findIndex((axis) => axis.name === 'lr' && axis.values.length > 1);
  // Final loss against the learning rate, or against the second setting where the rate is not varied.
  const finalChart = (group) => {
    const along = lrAxis >= 0 ? lrAxis : 1;
    const axis = axes[along];
    const rates = lrAxis >= 0;
    const at = (variant) => (axis === undefined ? primary(variant) + 1 : rates ? Number(axis.values[variant.values[along]]) : variant.values[along] + 1);
    const bare = axis === undefined;
    const keyed = new Map();
    for (const variant of group.shown) {
      const key = bare ? String(primary(variant)) : variant.values.filter((_, i) => i !== along).join();
      keyed.set(key, [...(keyed.get(key) ?? []), variant]);
    }
    const ended = (variant, wanted) => variant.runs.map((index) => runs[index]).filter((run) => wanted.includes(run.status));
    const finals = group.shown.flatMap((variant) => ended(variant, ['done']).map((run) => run.final)).filter((y) => y !== null);
    const low = finals.length ? Math.min(...finals) : 0, high = finals.length ? Math.max(...finals) : 1;
    const unit = Math.max(high - low, 0.02 * high);
    const lost = new Map();  // at each x, how many crosses stand there
    const datasets = [];
    for (const members of keyed.values()) {
      const name = members[0];
      const label = lrAxis === 0 ? (axes[1] ? axes[1].titles[second(name)] : 'final loss') : name.primary;
      const look = lrAxis === 0 ? { ...name, values: [second(name), 0] } : name;
      const dash = lrAxis > 1 || lrAxis < 0 ? DASHES[second(name) % DASHES.length] : [];
      const points = members.flatMap((variant) => {
        const values = ended(variant, ['done']).map((run) => run.final).filter((y) => y !== null);
        return values.length ? [{ x: at(variant), y: values.reduce((a, b) => a + b) / values.length }] : [];
      }).sort((a, b) => a.x - b.x);
      if (points.length) datasets.push(line(look, points, { label, tag: bare ? null : label, pointRadius: 5.5, showLine: !bare, borderDash: rates ? dash : [] }));
      if (several) datasets.push({ ...line(look, members.flatMap((variant) => ended(variant, ['done']).map((run) => ({ x: at(variant), y: run.final })))), label: `${label}, each seed`, kind: 'aid', showLine: false, pointRadius: 2.5 });
      for (const variant of members) {
        for (const run of ended(variant, ['stuck', 'diverged'])) {
          const x = at(variant), place = lost.get(x) ?? 0;
          lost.set(x, place + 1);
          const what = run.status === 'stuck' && run.final !== null ? `stuck at ${brief(run.final)}` : run.status;
          datasets.push({ ...cross(look, { x, y: high + unit * (0.5 - 0.14 * (place % 3)) }, ''), label: `${run.title}: ${what}`, tag: several ? null : `${label} ${what}` });
        }
      }
    }
    const names = bare ? axes[0]?.titles ?? [variants[0].title] : axis.titles;
    return {
      bare: true, x: bare ? axes[0]?.title ?? '' : axis.title, y: data.metric + ', nats per byte', datasets,
      range: { min: low - 0.12 * unit, max: high + (lost.size ? 0.58 : 0.12) * unit }, xLog: rates,
      categories: rates ? null : names, ticks: rates ? axis.values.map(Number).sort((a, b) => a - b) : null,
    };
  };

  const definitions = {
    loss: { draw: lossChart, toggles: [['raw', 'show every batch']] },
    final: { draw: finalChart, whole: true },
    variance_depth: { depth: 'residual_variance', y: 'residual variance' },
    variance_time: { time: 'residual_variance', y: 'residual variance', choices: blocks },
    grad_depth: { depth: 'grad_norm', y: 'gradient norm' },
    grad_time: { time: 'grad_norm', y: 'gradient norm', choices: [blocks[1], blocks[0]] },
    ratio: { choices: [['mlp_ratio', 'MLP'], ['attention_ratio', 'attention']],
      draw: (group, choice) => ({ x: 'block', y: 'branch / residual', log: true, integer: true, datasets: lines(group.shown, overDepth(choice, -1), true) }) },
    activation: { choices: [['max_abs', 'max |x|'], ['max_over_median', 'max |x| / median |x|']],
      draw: (group, choice) => {
        const datasets = lines(group.shown, overDepth(choice, -1), true);
        const depth = Math.max(1, ...datasets.flatMap((set) => set.data.map((p) => p.x)));
        if (choice === 'max_abs' && datasets.length) datasets.push({ label: 'FP16 maximum, 65,504', kind: 'aid', data: [{ x: 1, y: FP16_MAX }, { x: depth, y: FP16_MAX }], borderColor: colour('--bad'), borderDash: [3, 4], borderWidth: 1.5, pointRadius: 0 });
        return { x: 'block', y: choice === 'max_abs' ? 'max |x|' : 'max |x| / median |x|', log: true, integer: true, datasets };
      } },
    spikes: { draw: (group) => ({ x: 'step', y: 'gradient norm', log: true, datasets: [
      ...group.shown.flatMap((variant) => variant.runs.map((index) => line(variant, pairs(runs[index].grad).filter((p) => p.y > 0), { label: runs[index].title, borderWidth: 1.3 }))),
      ...group.shown.flatMap((variant) => variant.runs.flatMap((index) => runs[index].spikes.map((spike) => {
        const near = pairs(runs[index].grad).filter((p) => p.y > 0).reduce((best, p) => (Math.abs(p.x - spike.step) < Math.abs((best?.x ?? 1e15) - spike.step) ? p : best), null);
        return near ? cross(variant, { x: spike.step, y: spike.what === 'loss' ? near.y : spike.value }, `spike of ${spike.what === 'loss' ? 'loss' : 'gradient norm'} at ${spike.step}`) : null;
      }).filter(Boolean)))] }) },
    cost: { whole: true, draw: (group) => {
      const shown = group.shown.map((variant) => {
        const shares = variant.runs.map((index) => runs[index].norm_share).filter((y) => y !== null);
        return { variant, share: shares.length ? 100 * shares.reduce((a, b) => a + b) / shares.length : null };
      }).filter((entry) => entry.share !== null);
      return { bars: shown, x: 'norms, % of the step', y: '', datasets: shown.length ? [{ label: 'share of the step', kind: 'bar', data: shown.map((entry) => entry.share),
        backgroundColor: shown.map((entry) => colourOf(entry.variant)), borderWidth: 0, maxBarThickness: 26 }] : [] };
    } },
  };
  for (const definition of Object.values(definitions)) {
    if (definition.depth) definition.draw = (group) => ({ x: 'block', y: definition.y, log: true, integer: true, datasets: startAndEnd(group.shown, definition.depth) });
    if (definition.time) definition.draw = (group, choice) => ({ x: 'step', y: definition.y, log: true, datasets: lines(group.shown, overTime(definition.time, Number(choice)), true) });
  }

  // ---- drawing ---------------------------------------------------------------------------------
  const scale = (title, log, range, more = {}) => ({
    type: log ? 'logarithmic' : 'linear', ...range, title: { display: title !== '', text: title, color: colour('--soft') },
    grid: { color: colour('--grid'), borderColor: colour('--line'), tickColor: 'transparent' },
    ticks: { color: colour('--soft'), maxRotation: 0, autoSkipPadding: 14, includeBounds: false, ...(log ? { callback: logTick, autoSkip: false } : {}) },
    ...(log ? { afterTickToLabelConversion: (axis) => { axis.ticks = axis.ticks.filter((tick) => tick.label !== ''); } } : {}), ...more,
  });
  const xScale = (spec) => {
    const xs = spec.datasets.flatMap((set) => set.data.map((p) => p.x));
    const fixed = spec.categories ? { min: 0.5, max: spec.categories.length + 0.5 }
      : spec.xLog ? { min: Math.min(...spec.ticks) / 1.15, max: Math.max(...spec.ticks) * 1.15 }
        : { min: Math.min(...xs) === 1 && Math.max(...xs) > 30 ? 0 : Math.min(...xs), max: Math.max(...xs) };
    const made = scale(spec.x, spec.xLog, fixed);
    if (spec.categories) Object.assign(made.ticks, { stepSize: 1, callback: (value) => spec.categories[value - 1] ?? '' });
    if (spec.ticks) {
      made.afterBuildTicks = (axis) => { axis.ticks = spec.ticks.map((value) => ({ value })); };
      made.ticks.callback = (value) => String(value);
    }
    if (spec.integer) { made.ticks.stepSize = 1; made.ticks.callback = (value) => (Number.isInteger(value) ? value : ''); }
    if (spec.integer && Math.min(...xs) === Math.max(...xs)) Object.assign(made, { min: 0, max: 2 });
    return made;
  };
  const tooltip = (spec) => ({
    callbacks: spec.bars ? {
      label: (item) => `${digits(item.parsed.x)} % of the step, ${digits(spec.bars[item.dataIndex].variant.runs.map((i) => runs[i].tokens_per_second)[0])} tokens/s`,
    } : {
      title: (items) => (items.length ? (spec.categories ? spec.categories[items[0].parsed.x - 1] : `${spec.x} ${items[0].parsed.x}`) : ''),
      label: (item) => `${item.dataset.label}: ${digits(item.parsed.y)}`,
    },
    filter: (item) => item.dataset.kind !== 'aid', usePointStyle: true,
  });
  // Names at the lines' ends, pushed apart where they would overlap.
  const tagged = (spec) => {
    const sets = spec.datasets.filter((set) => (set.kind === 'line' || set.kind === 'mark') && set.data.length && set.tag);
    return sets.length > 1 && sets.length <= 8 && new Set(sets.map((set) => set.tag)).size === sets.length ? sets : [];
  };
  const ending = (spec, set) => (spec.bare || set.kind === 'mark' || innerWidth < 600 ? set.tag : `${set.tag} ${brief(set.data.at(-1).y)}`);
  const tagRoom = (spec) => Math.min(150, Math.max(0, ...tagged(spec).filter((set) => set.kind === 'line' || (spec.bare && innerWidth >= 600)).map((set) => ending(spec, set).length * 7 + 14)));
  const tags = (spec) => ({ id: 'tags', afterDatasetsDraw: (chart) => {
    const { ctx, chartArea: area } = chart;
    const wanted = tagged(spec).map((set) => {
      const last = chart.getDatasetMeta(spec.datasets.indexOf(set)).data.at(-1);
      return { text: ending(spec, set), colour: set.borderColor, x: Math.min(last.x, area.right) + 9, y: last.y, seen: last.y >= area.top - 4 && last.y <= area.bottom + 4 };
    }).filter((tag) => tag.seen).sort((a, b) => a.y - b.y);
    const GAP = 14;
    for (let i = 1; i < wanted.length; i++) wanted[i].y = Math.max(wanted[i].y, wanted[i - 1].y + GAP);
    for (let i = wanted.length; i-- > 0;) wanted[i].y = Math.min(wanted[i].y, (wanted[i + 1]?.y ?? area.bottom + GAP) - GAP);
    ctx.save();
    ctx.font = `600 12px ${Chart.defaults.font.family}`;
    ctx.textBaseline = 'middle';
    for (const tag of wanted) { ctx.fillStyle = tag.colour; ctx.fillText(tag.text, tag.x, tag.y, chart.width - tag.x); }
    ctx.restore();
  } });
  const options = (spec) => ({
    responsive: true, maintainAspectRatio: false, animation: false, parsing: true, resizeDelay: 50,
    interaction: spec.bars ? { mode: 'nearest', axis: 'y', intersect: false } : { mode: 'nearest', axis: 'x', intersect: false },
    indexAxis: spec.bars ? 'y' : 'x', layout: { padding: { top: 8, right: 8 + tagRoom(spec) } },
    plugins: { legend: { display: false }, tooltip: tooltip(spec) },
    scales: spec.bars
      ? { x: scale(spec.x, false, { min: 0 }), y: { ...scale('', false, {}), type: 'category', grid: { display: false } } }
      : { x: xScale(spec), y: scale(spec.y, spec.log, spec.range ?? {}) },
  });

  const drawPanel = (spec, caption, name) => {
    const figure = element('figure');
    if (caption) figure.append(element('figcaption', {}, caption));
    const frame = element('div', { className: 'frame' });
    figure.append(frame);
    if (!spec.datasets.some((set) => set.data.length)) {
      frame.append(element('p', { className: 'empty' }, 'Nothing recorded for this yet.'));
      return { figure };
    }
    const shown = spec.bars ? spec.bars.length : spec.datasets.filter((set) => set.kind === 'line').length;
    const canvas = element('canvas', { role: 'img', 'aria-label': `${name}${caption ? `, ${caption}` : ''}: ${spec.y || spec.x} of ${shown} variants; the tables below have the figures` });
    frame.append(canvas);
    if (spec.bars) frame.style.height = `${spec.bars.length * 34 + 60}px`;
    return { figure, canvas, make: () => {
      try {
        const labels = spec.bars?.map((entry) => entry.variant.title);
        charts.push(new Chart(canvas, { type: spec.bars ? 'bar' : 'line', data: { labels, datasets: spec.datasets }, options: options(spec), plugins: [tags(spec)] }));
      } catch (error) {
        frame.replaceChildren(element('p', { className: 'failed-chart' }, `This chart could not be drawn: ${error.message}`));
        console.error(error);
      }
    } };
  };

  // ---- tables ----------------------------------------------------------------------------------
  const table = (spec) => {
    if (spec.bars) {
      return [['variant', '% of the step', 'tokens/s'], spec.bars.map(({ variant, share }) => [variant.title, digits(share), digits(runs[variant.runs[0]].tokens_per_second)])];
    }
    const sets = spec.datasets.filter((set) => set.kind !== 'aid' && set.data.length);
    let xs = [...new Set(sets.flatMap((set) => set.data.map((p) => p.x)))].sort((a, b) => a - b);
    const stride = Math.ceil(xs.length / 25);
    xs = xs.filter((x, i) => i % stride === 0 || i === xs.length - 1 || sets.some((set) => set.kind === 'mark' && set.data[0].x === x));
    const found = sets.map((set) => new Map(set.data.map((p) => [p.x, p.y])));
    const name = (x) => (spec.categories ? spec.categories[x - 1] : String(x));
    return [[spec.x, ...sets.map((set) => set.label)], xs.map((x) => [name(x), ...found.map((at) => digits(at.get(x) ?? null))])];
  };
  const tableElement = (spec, caption) => {
    const [heads, rows] = table(spec);
    return element('div', { className: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption }, element('table', {},
      element('caption', {}, caption),
      element('thead', {}, element('tr', {}, ...heads.map((head) => element('th', { scope: 'col' }, head)))),
      element('tbody', {}, ...rows.map((row) => element('tr', {}, element('th', { scope: 'row' }, row[0]), ...row.slice(1).map((cell) => element('td', { className: 'number' }, cell)))))));
  };

  // ---- sections --------------------------------------------------------------------------------
  const inRest = (variant) => axes.every((_, i) => i < 2 || variant.values[i] === state.rest[i]);
  const visible = (variant) => inRest(variant) && !state.hidden[0].has(primary(variant)) && !state.hidden[1].has(second(variant));
  const panelled = () => axes.length > 1 && axes[1].values.length > 1 && axes[1].values.length <= PANELS && !state.together;
  const groups = (whole) => {
    const all = variants.filter(inRest);
    if (whole || !panelled()) return [{ caption: '', all, shown: all.filter(visible) }];
    return axes[1].titles.map((caption, i) => ({ caption, all, shown: all.filter((variant) => second(variant) === i && visible(variant)) }))
      .filter((group) => group.shown.length);
  };
  // Panels beside each other are read against each other: one range for all.
  const shareRange = (specs) => {
    if (specs.length < 2 || specs.some((spec) => spec.range || spec.bars)) return;
    const ys = specs.flatMap((spec) => spec.datasets.flatMap((set) => set.data.map((p) => p.y))).filter((y) => y !== null && (!specs[0].log || y > 0));
    if (ys.length === 0) return;
    const low = ys.reduce((a, b) => Math.min(a, b)), high = ys.reduce((a, b) => Math.max(a, b));
    for (const spec of specs) spec.range = specs[0].log ? { min: low / 1.2, max: high * 1.2 } : { min: low, max: high };
  };
  const drawSection = (section) => {
    const name = section.dataset.chart;
    const definition = definitions[name];
    const title = section.querySelector('h2').textContent;
    const panels = groups(definition.whole).map((group) => ({ group, spec: definition.draw(group, state.options[name]) }));
    shareRange(panels.map(({ spec }) => spec));
    const made = panels.map(({ group, spec }) => drawPanel(spec, group.caption, title));
    section.querySelector('.panels').replaceChildren(...made.map(({ figure }) => figure));
    for (const panel of made) panel.make?.();
    const details = section.querySelector('details');
    const fill = () => {
      if (details.open) details.replaceChildren(details.firstElementChild, ...panels.map(({ group, spec }) => tableElement(spec, [title, group.caption].filter(Boolean).join(', '))));
    };
    details.ontoggle = fill;
    fill();
  };
  const prepare = (section) => {
    const name = section.dataset.chart;
    const definition = definitions[name];
    const controls = [];
    if (definition.choices) {
      state.options[name] = definition.choices[0][0];
      const id = `choose-${name}`;
      const select = element('select', { id }, ...definition.choices.map(([value, text]) => element('option', { value }, text)));
      select.onchange = () => { state.options[name] = select.value; draw(section); };
      controls.push(element('label', { for: id }, 'Show'), select);
    }
    for (const [option, text] of definition.toggles ?? []) {
      const button = element('button', { type: 'button', className: 'plain', 'aria-pressed': 'false' }, text);
      button.onclick = () => { state.options[option] = !state.options[option]; button.setAttribute('aria-pressed', String(state.options[option])); draw(section); };
      controls.push(button);
    }
    if (controls.length) section.append(element('div', { className: 'options' }, ...controls));
    section.append(element('div', { className: 'panels' }), element('details', {}, element('summary', {}, 'Table of these figures')));
  };
  const describe = () => {
    const how = (name, text) => { document.querySelector(`[data-chart="${name}"] .how`).textContent = text; };
    how('loss', `Lower is better. Lines: training loss, mean of the last ${data.window} steps${several ? ', mean over seeds with the range between them shaded' : ''}; hollow marks: validation loss; a cross: the run diverged there. The first steps lie above the top.${data.sampled ? ' Long lines are thinned for the page, first and last points kept.' : ''}`);
    const heading = document.querySelector('[data-chart="final"] h2');
    if (lrAxis >= 0) heading.textContent = 'Learning-rate sensitivity';
    how('final', `Final ${data.metric}${lrAxis >= 0 ? ' against the learning rate: a flat line takes any of these rates, a steep one needs tuning' : ' of each variant: lower is better'}. A cross at the top marks a run that diverged or got stuck, whatever its loss.`);
    how('activation', 'Largest absolute value in the residual stream behind each block, at the end of the run. The dotted line is the largest number that FP16 holds, 65,504: the gap below it is the headroom. Max over median tells massive activations whatever the scale.');
  };

  // ---- legend ----------------------------------------------------------------------------------
  const SVG = 'http://www.w3.org/2000/svg';
  const swatch = (colourName, shape, dash) => {
    const paths = { circle: 'M16 3a4 4 0 1 0 .01 0z', rect: 'M12 3h8v8h-8z', triangle: 'M16 2l5 9h-10z', rectRot: 'M16 2l5 5-5 5-5-5z', star: 'M16 2v10M11 7h10M12.5 3.5l7 7M19.5 3.5l-7 7', cross: 'M16 2v10M11 7h10' };
    const svg = document.createElementNS(SVG, 'svg');
    svg.setAttribute('viewBox', '0 0 32 14');
    svg.setAttribute('class', 'swatch');
    svg.setAttribute('aria-hidden', 'true');
    for (const [d, dashes] of [['M0 7H32', dash.join(' ')], ...(shape ? [[paths[shape], '']] : [])]) {
      const path = document.createElementNS(SVG, 'path');
      path.setAttribute('d', d);
      path.setAttribute('stroke', `var(${colourName})`);
      path.setAttribute('fill', ['star', 'cross'].includes(shape) ? 'none' : `var(${colourName})`);
      path.setAttribute('stroke-width', '2');
      if (dashes) path.setAttribute('stroke-dasharray', dashes);
      svg.append(path);
    }
    return svg;
  };
  const legend = document.querySelector('.legend');
  const buildLegend = () => {
    axes.forEach((axis, i) => {
      if (axis.values.length < 2) return;
      legend.append(element('span', {}, axis.title));
      if (i > 1) {
        const select = element('select', { 'aria-label': axis.title }, ...axis.titles.map((text, k) => element('option', { value: String(k) }, text)));
        select.onchange = () => { state.rest[i] = Number(select.value); drawAll(); };
        legend.append(select);
        return;
      }
      axis.titles.forEach((text, k) => {
        const mark = i === 0 ? swatch(`--c${k % 8}`, SHAPES[k % SHAPES.length], []) : swatch('--soft', null, DASHES[k % DASHES.length]);
        if (i === 1) mark.classList.add('dash');
        const button = element('button', { type: 'button', 'aria-pressed': 'true' }, mark, text);
        button.onclick = () => {
          const hidden = state.hidden[i];
          if (!hidden.delete(k)) hidden.add(k);
          button.setAttribute('aria-pressed', String(!hidden.has(k)));
          drawAll();
        };
        legend.append(button);
      });
    });
    if (axes.length > 1 && axes[1].values.length > 1 && axes[1].values.length <= PANELS) {
      const button = element('button', { type: 'button', className: 'plain', 'aria-pressed': 'false' }, 'all in one chart');
      button.onclick = () => { state.together = !state.together; button.setAttribute('aria-pressed', String(state.together)); drawAll(); };
      legend.append(button);
    }
    legend.hidden = legend.childElementCount === 0;
  };

  // ---- at a glance -----------------------------------------------------------------------------
  // The condition under which the residual streams end farthest apart: its loss and its growth.
  const drawGlance = () => {
    const ends = (variant) => overSeeds(variant, overTime('residual_variance', -1), true).mean.at(-1)?.y;
    const all = variants.filter(inRest);
    const contrast = (members) => {
      const found = members.map(ends).filter((y) => y > 0);
      return found.length ? Math.max(...found) / Math.min(...found) : 0;
    };
    const conditions = [...new Set(all.map(second))].map((value) => all.filter((variant) => second(variant) === value));
    const chosen = conditions.sort((a, b) => contrast(b) - contrast(a))[0] ?? [];
    const glance = document.querySelector('.glance');
    const where = axes.length > 1 && axes[1].values.length > 1 ? `, ${axes[1].titles[second(chosen[0])]}` : '';
    const group = { all: chosen, shown: chosen };
    const made = [['Loss over steps' + where, definitions.loss.draw(group)],
      ['Residual variance behind the last block' + where, definitions.variance_time.draw(group, '-1')]]
      .filter(([, spec]) => spec.datasets.some((set) => set.data.length))
      .map(([caption, spec]) => drawPanel(spec, caption, 'At a glance'));
    glance.hidden = made.length === 0;
    glance.replaceChildren(...made.map(({ figure }) => figure));
    for (const panel of made) panel.make?.();
  };

  // ---- all together ----------------------------------------------------------------------------
  const sections = [...document.querySelectorAll('.chart')];
  // For tests: how many charts there should be, and how many have points inside their frame.
  const count = () => {
    for (let i = charts.length; i-- > 0;) if (!charts[i].canvas?.isConnected) { charts[i].destroy(); charts.splice(i, 1); }
    const drawn = charts.filter((chart) => chart.data.datasets.some((set, i) => chart.getDatasetMeta(i).data.some((point) => Number.isFinite(point.x) && Number.isFinite(point.y)))).length;
    root.dataset.charts = String(document.querySelectorAll('figure canvas, .failed-chart').length);
    root.dataset.drawn = String(drawn);
  };
  // One chart that fails leaves the others standing.
  const attempt = (section) => {
    try {
      drawSection(section);
    } catch (error) {
      section.querySelector('.panels').replaceChildren(element('p', { className: 'failed-chart' }, `This chart could not be drawn: ${error.message}`));
      console.error(error);
    }
  };
  const draw = (section) => { attempt(section); count(); };
  const drawAll = () => {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 12;
    Chart.defaults.color = colour('--soft');
    legend.classList.toggle('panelled', panelled());
    drawGlance();
    sections.forEach(attempt);
    count();
  };
  buildLegend();
  sections.forEach(prepare);
  describe();
  drawAll();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
  addEventListener('beforeprint', () => charts.forEach((chart) => chart.resize()));
})();
