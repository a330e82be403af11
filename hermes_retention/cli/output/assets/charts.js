"use strict";
// Configuration of the charts: what is drawn comes from the element "data", how from Chart.js.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 40rem)");
  const hues = {
    chat: [211, 55], cron: [28, 85], subagent: [130, 40], hook: [300, 30], api: [180, 45], cli: [48, 85], other: [20, 30],
  };
  const strength = { files: 1, messages: 0.7, archive: 0.4 };
  let charts = [];

  const size = (bytes) => {
    const units = ["B", "KB", "MB", "GB", "TB"];
    let value = Math.abs(bytes), unit = 0;
    while (value >= 999.5 && unit < units.length - 1) { value /= 1000; unit += 1; }
    const digits = unit === 0 || value >= 99.95 ? 0 : 1;
    return `${bytes < 0 ? "-" : ""}${value.toFixed(digits)} ${units[unit]}`;
  };
  const day = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (kind, place, alpha = 1) => {
    const [hue, saturation] = hues[kind] ?? hues.other;
    return `hsla(${hue}, ${saturation}%, ${dark.matches ? 60 : 48}%, ${(strength[place] ?? 1) * alpha})`;
  };
  const points = (times, values) => times.map((x, at) => ({ x, y: values[at] }));

  const time = { type: "linear", ticks: { callback: day, maxRotation: 0, autoSkipPadding: 20 } };
  const bytes = { beginAtZero: true, ticks: { callback: size } };
  const whenAndSize = {
    title: (items) => (items.length ? day(items[0].parsed.x) : ""),
    label: (item) => `${item.dataset.label}: ${size(item.parsed.y)}`,
  };
  const legend = () => ({ position: "bottom", labels: { boxWidth: 12 }, display: true });

  const overTime = () => ({
    type: "line",
    data: {
      datasets: [
        {
          label: "measured by sweeps", data: data.measured.map(([x, y]) => ({ x, y })), stack: "measured",
          borderColor: css("--ink"), backgroundColor: css("--ink"), borderWidth: 1.5, borderDash: [4, 3], pointRadius: 2,
        },
        ...data.layers.map((layer) => ({
          label: `${layer.class}: ${layer.place}`, data: points(data.times, layer.bytes), fill: true, stack: "all",
          backgroundColor: colour(layer.class, layer.place), borderColor: colour(layer.class, layer.place),
          borderWidth: 0, pointRadius: 0,
        })),
      ],
    },
    options: {
      interaction: { mode: "nearest", axis: "x", intersect: false },
      scales: { x: { ...time, min: data.times[0], max: data.times.at(-1) }, y: { ...bytes, stacked: true } },
      plugins: { legend: legend(), tooltip: { callbacks: whenAndSize } },
    },
  });

  const treemap = () => ({
    type: "treemap",
    data: {
      datasets: [{
        tree: data.parts, key: "bytes", groups: ["class", "place"], spacing: 1, borderWidth: 0,
        backgroundColor: (item) => {
          const node = item.raw?._data;
          if (!node) return "transparent";
          return node.place ? colour(node.class ?? node.path?.split(".")[0], node.place) : colour(node.label, "files", 0.3);
        },
        captions: { display: true, color: css("--ink"), align: "left" },
        labels: {
          display: true, color: css("--ink"), overflow: "hidden",
          formatter: (item) => [item.raw.g, size(item.raw.v)],
        },
      }],
    },
    options: {
      plugins: {
        legend: { display: false },
        tooltip: { callbacks: { title: () => "", label: (item) => `${item.raw._data.label ?? item.raw.g}: ${size(item.raw.v)}` } },
      },
    },
  });

  const stackedRows = (rows, places, name) => ({
    type: "bar",
    data: {
      labels: rows.map(name),
      datasets: places.map(([key, label, place]) => ({
        label, data: rows.map((row) => row[key]), backgroundColor: rows.map((row) => colour(row.class, place)),
      })),
    },
    options: {
      indexAxis: "y",
      scales: {
        x: { ...bytes, stacked: true },
        y: { stacked: true, ticks: { autoSkip: false, callback(at) { return cut(this.getLabelForValue(at)); } } },
      },
      plugins: { legend: { display: false }, tooltip: { callbacks: { label: (item) => `${item.dataset.label}: ${size(item.parsed.x)}` } } },
    },
  });
  const cut = (text) => {
    const most = narrow.matches ? 14 : 36;
    return text.length > most ? `${text.slice(0, most - 1)}…` : text;
  };

  const largest = () => stackedRows(
    data.largest.slice(0, 15),
    [["files", "files", "files"], ["messages", "messages", "messages"], ["archive", "archive", "archive"]],
    (row) => row.title || row.id,
  );
  const jobs = () => {
    const chart = stackedRows(
      data.jobs.slice(0, 15).map((job) => ({ ...job, class: "cron" })),
      [["stored", "takes now", "files"], ["written", "wrote in all", "archive"]],
      (row) => row.name,
    );
    chart.options.scales.x.stacked = chart.options.scales.y.stacked = false;
    chart.options.plugins.legend = legend();
    return chart;
  };

  const sweeps = () => ({
    type: "bar",
    data: {
      labels: data.sweeps.map((sweep) => day(sweep.at)),
      datasets: [{ label: "freed", data: data.sweeps.map((sweep) => sweep.freed), backgroundColor: colour("subagent", "files"), maxBarThickness: 48 }],
    },
    options: {
      scales: { y: bytes, x: { ticks: { maxRotation: 0, autoSkipPadding: 12 } } },
      plugins: { legend: { display: false }, tooltip: { callbacks: { label: (item) => `freed: ${size(item.parsed.y)}` } } },
    },
  });

  const forecast = () => ({
    type: "line",
    data: {
      datasets: [["today's settings", data.forecast.current, "chat"], ["no sweeps", data.forecast.without, "cron"]].map(
        ([label, values, kind]) => ({
          label, data: points(data.forecast.times, values), borderColor: colour(kind, "files"), backgroundColor: colour(kind, "files"),
          borderWidth: 2, pointRadius: 0, segment: { borderDash: (part) => (part.p0.parsed.x >= data.now ? [6, 4] : undefined) },
        }),
      ),
    },
    options: {
      interaction: { mode: "nearest", axis: "x", intersect: false },
      scales: { x: { ...time, min: data.forecast.times[0], max: data.forecast.times.at(-1) }, y: bytes },
      plugins: { legend: legend(), tooltip: { callbacks: whenAndSize } },
    },
  });

  const all = { "over-time": overTime, treemap, largest, jobs, sweeps, forecast };
  const draw = () => {
    charts.forEach((chart) => chart.destroy());
    Chart.defaults.color = css("--faint");
    Chart.defaults.borderColor = css("--line");
    Chart.defaults.animation = false;
    Chart.defaults.maintainAspectRatio = false;
    Chart.defaults.font.family = "system-ui, sans-serif";
    charts = Object.entries(all)
      .map(([id, configure]) => [document.getElementById(id), configure])
      .filter(([canvas]) => canvas)
      .map(([canvas, configure]) => new Chart(canvas, configure()));
    document.documentElement.dataset.drawn = String(charts.length);
  };
  dark.addEventListener("change", draw);
  narrow.addEventListener("change", draw);
  draw();
})();
