'use strict';
// What the scripts of our pages share: the page's data, elements, figures as people read them, axes.
const omninormPage = (() => {
  const root = document.documentElement;
  root.dataset.errors = '0';
  addEventListener('error', () => { root.dataset.errors = String(Number(root.dataset.errors) + 1); });

  const data = JSON.parse(document.getElementById('data').textContent);

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

  const scale = (title, log, range, more = {}) => ({
    type: log ? 'logarithmic' : 'linear', ...range, title: { display: title !== '', text: title, color: colour('--soft') },
    grid: { color: colour('--grid'), borderColor: colour('--line'), tickColor: 'transparent' },
    ticks: { color: colour('--soft'), maxRotation: 0, autoSkipPadding: 14, includeBounds: false, ...(log ? { callback: logTick, autoSkip: false } : {}) },
    ...(log ? { afterTickToLabelConversion: (axis) => { axis.ticks = axis.ticks.filter((tick) => tick.label !== ''); } } : {}), ...more,
  });

  return { root, data, element, colour, faint, digits, brief, logTick, scale };
})();
