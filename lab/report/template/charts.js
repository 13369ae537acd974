'use strict';
// What the charts show, made from the page's own data; report.js draws it. Colour and point shape stand for the first varied
// setting, dashes and panels for the second; further ones are chosen in the legend.
const omninormCharts = (() => {
  const { root, data, element, colour, faint, digits, brief } = omninormPage;
  const { axes, runs, variants } = data;
  const SHAPES = ['circle', 'rect', 'triangle', 'rectRot', 'star', 'cross'];
  const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [14, 4]];
  const PANELS = 4;  // side by side; more stand together
  const FP16_MAX = 65504;
  const several = variants.some((variant) => variant.runs.length > 1);
  const state = { hidden: [new Set(), new Set()], rest: axes.map(() => 0), together: false, options: {} };
  const charts = [];

  const panelled = () => axes.length > 1 && axes[1].values.length > 1 && axes[1].values.length <= PANELS && !state.together;

  const primary = (variant) => variant.values[0] ?? 0;
  const second = (variant) => variant.values[1] ?? 0;
  const colourOf = (variant) => colour(`--c${primary(variant) % 8}`);
  const shapeOf = (variant) => SHAPES[primary(variant) % SHAPES.length];
  // Panels tell the second setting by themselves; dashes are for lines in one chart.
  const dashOf = (variant) => (panelled() ? [] : DASHES[second(variant) % DASHES.length]);

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

  return {
    axes, runs, variants, SHAPES, DASHES, PANELS, several, state, charts,
    primary, second, overSeeds, overTime, lrAxis, definitions,
    panelled,
  };
})();
