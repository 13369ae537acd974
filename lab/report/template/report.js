'use strict';
// Draws what charts.js made: charts, tables, legend.
(() => {
  const { root, data, element, colour, digits, brief, scale } = omninormPage;
  const {
    axes, runs, variants, SHAPES, DASHES, PANELS, several, state, charts,
    primary, second, overSeeds, overTime, lrAxis, definitions,
    panelled,
  } = omninormCharts;

  // ---- drawing ---------------------------------------------------------------------------------
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
    how('activation', 'Largest absolute value in the residual stream behind each block, at the last probe. The dotted line is the largest number that FP16 holds, 65,504: the gap below it is the headroom. Max over median tells massive activations whatever the scale.');
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
