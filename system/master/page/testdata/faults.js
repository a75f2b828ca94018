(() => {
  const found = [];
  const root = document.documentElement;
  const style = e => getComputedStyle(e);
  if (root.scrollWidth > root.clientWidth) {
    found.push("scrolls sideways: " + root.scrollWidth + " > " + root.clientWidth);
  }
  const channels = c => {
    const m = c.match(/[\d.]+/g).map(Number);
    return m.length < 4 ? [...m, 1] : m;
  };
  const linear = v => v <= 10 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = channels(style(e).backgroundColor);
      if (c[3] > 0) return c;
    }
    return [255, 255, 255, 1];
  };
  const hidden = e => { // for screen readers only
    const head = e.closest("thead");
    return head && style(head).position === "absolute";
  };
  for (const e of document.body.querySelectorAll("*")) {
    const texts = [...e.childNodes].filter(n => n.nodeType === 3 && n.data.trim());
    const words = texts.map(n => n.data.trim()).join(" ").slice(0, 40);
    const box = e.getBoundingClientRect();
    if (!words || box.width <= 1 || box.height <= 1 || hidden(e)) continue;
    if (box.right > root.clientWidth + 1 || box.left < -1) found.push("outside: " + words);
    if (e.scrollWidth > e.clientWidth + 1 && style(e).display !== "inline") found.push("cut off: " + words);
    const [a, b] = [light(channels(style(e).color)), light(behind(e))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push("faint (" + contrast.toFixed(1) + "): " + words);
  }
  return found;
})()
