"use strict";
{
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const template = () => {
    const style = getComputedStyle(document.documentElement);
    const [ink, line, sheet] = ["--ink", "--line", "--sheet"].map((name) => style.getPropertyValue(name).trim());
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line };
    const low = "#3b82d6", high = "#e0663a", mid = dark.matches ? "#2a313b" : "#f2f3f5";
    return { layout: {
      font: { family: "system-ui, sans-serif", size: 12, color: ink },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      xaxis: axis, yaxis: axis, hoverlabel: { bgcolor: sheet, bordercolor: line, font: { color: ink } },
      colorscale: { diverging: [[0, low], [0.5, mid], [1, high]], sequential: [[0, mid], [1, low]] },
      coloraxis: { colorbar: { outlinewidth: 0, thickness: 10 } },
    } };
  };
  const config = { responsive: true, displayModeBar: false };
  const draw = async () => {
    delete document.documentElement.dataset.drawn;
    for (const [place, { data, layout }] of Object.entries(figures)) {
      await Plotly.react(place, structuredClone(data), { ...structuredClone(layout), template: template() }, config);
      await new Promise(requestAnimationFrame); // the page can be read and scrolled meanwhile
    }
    document.documentElement.dataset.drawn = dark.matches ? "dark" : "light";
  };
  let drawing = draw();
  dark.addEventListener("change", () => { drawing = drawing.then(draw); });
}
