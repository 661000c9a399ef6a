// Draws a figure. On a narrow screen (a telephone) what is long is broken into lines, ticks are thinned out and the legend gets room below.
function draw(id, data, layout, config) {
  const box = document.getElementById(id), width = box.clientWidth;
  if (width < 640) {
    const letter = 7, row = 24, most = (room) => Math.max(8, Math.floor(room / letter));
    const broken = (text, room) => text.split("<br>").map((line) => line.split(" ").reduce((lines, word) => {
      const last = lines[lines.length - 1];
      if (last && (last + " " + word).length > most(room)) lines.push(word);
      else lines[lines.length - 1] = last ? last + " " + word : word;
      return lines;
    }, [""]).join("<br>")).join("<br>");
    const named = data.flatMap((trace) => trace.orientation === "h" || typeof (trace.y || [])[0] === "string" ? trace.y || [] : [])
      .concat((layout.yaxis || {}).ticktext || []);
    const left = Math.max(layout.margin.l, ...named.map((text) => letter * String(text).length + 12));
    const inner = width - left - layout.margin.r, upright = layout.height - layout.margin.t - layout.margin.b;
    let lines = 1;
    for (const [key, axis] of Object.entries(layout)) {
      if (!/^[xy]axis\d*$/.test(key)) continue;
      const across = key[0] === "x", [from, to] = axis.domain || [0, 1], room = (to - from) * (across ? inner : upright);
      if (axis.title && axis.title.text) {
        axis.title.text = broken(axis.title.text, room + (across ? 20 : 0));
        if (across) lines = Math.max(lines, axis.title.text.split("<br>").length);
      }
      if (!across) continue;
      const places = axis.tickvals ? axis.tickvals.length : 0, step = Math.ceil(places * 38 / room);
      if (step > 1) {
        const kept = (_, place) => place % step === 0;
        if (axis.ticktext) axis.ticktext = axis.ticktext.filter(kept);
        axis.tickvals = axis.tickvals.filter(kept);
      } else if (!places) axis.nticks = Math.max(2, Math.floor(room / 48));
    }
    let rows = 0;
    for (const trace of data) {
      if (!trace.name || trace.showlegend === false) continue;
      trace.name = broken(trace.name, width - 90);
      rows += trace.name.split("<br>").length;
    }
    if (layout.legend && layout.showlegend !== false && rows > 1) {
      const more = row * (rows - 1) + 17 * (lines - 1);
      layout.height += more;
      layout.margin.b += more;
      layout.legend.y -= 17 * (lines - 1) / upright;
      box.style.height = layout.height + "px";
    } else if (lines > 1) {
      layout.height += 17 * (lines - 1);
      layout.margin.b += 17 * (lines - 1);
      box.style.height = layout.height + "px";
    }
  }
  return Plotly.newPlot(id, data, layout, config);
}
