// Canvas by canvas: the chart, how many lines it has with points, for how many of them ink of their
// own colour is found at their points, and how many more lie wholly beneath others' points. Read
// from the pixels, not from what the page claims.
(() => [...document.querySelectorAll('canvas')].map((canvas) => {
  const chart = Chart.getChart(canvas);
  const section = canvas.closest('[data-chart]')?.dataset.chart ?? 'glance';
  if (!chart) return { section, lines: -1, inked: 0, beneath: 0 };
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  const ratio = chart.currentDevicePixelRatio;
  const area = chart.chartArea;
  const tried = document.createElement('canvas').getContext('2d');
  const rgb = (colour) => {
    tried.clearRect(0, 0, 1, 1);
    tried.fillStyle = colour;
    tried.fillRect(0, 0, 1, 1);
    return tried.getImageData(0, 0, 1, 1).data;
  };
  const inside = (p) => Number.isFinite(p.x) && Number.isFinite(p.y)
    && p.x >= area.left - 2 && p.x <= area.right + 2 && p.y >= area.top - 2 && p.y <= area.bottom + 2;
  const inkAt = (x, y, want) => {
    const pixels = pen.getImageData(Math.round(x * ratio) - 5, Math.round(y * ratio) - 5, 11, 11).data;
    for (let i = 0; i < pixels.length; i += 4) {
      const far = Math.hypot(pixels[i] - want[0], pixels[i + 1] - want[1], pixels[i + 2] - want[2]);
      if (pixels[i + 3] > 100 && far < 40) return true;
    }
    return false;
  };
  const sets = [];
  chart.data.datasets.forEach((set, index) => {
    const bar = set.kind === 'bar';
    if (!bar && set.kind !== 'line' && set.kind !== 'mark') return;
    const want = rgb(bar ? set.backgroundColor[0] : set.borderColor);
    const points = chart.getDatasetMeta(index).data.filter(inside);
    if (points.length === 0) return;
    sets.push({ points, inked: points.some((p) => inkAt(bar ? p.x - 3 : p.x, p.y, want)) });
  });
  const near = (p) => sets.some((other) => other.inked
    && other.points.some((q) => Math.hypot(p.x - q.x, p.y - q.y) < 10));
  return {
    section,
    lines: sets.length,
    inked: sets.filter((set) => set.inked).length,
    beneath: sets.filter((set) => !set.inked && set.points.every(near)).length,
  };
}))()
