// Renders only visible rows. Browsers limit the height of an element to about 16 million pixels;
// above MAX_PIXELS the scroll bar stands for a taller list than it can show, and the wheel still
// moves pixel by pixel.

import { h } from "./dom.js";

const MAX_PIXELS = 8_000_000;
const SPARE = 4;

export class VirtualRows {
  /** `key(i)`, `create(i)` -> node, `patch(node, i)`. `scroller` null: the page scrolls.
   *  `rowHeight()` in pixels. */
  constructor({ scroller = null, role, label = null, rowHeight, key, create, patch }) {
    this.scroller = scroller;
    this.rowHeight = rowHeight;
    this.key = key;
    this.create = create;
    this.patch = patch;
    this.count = 0;
    this.onrange = (_first, _last) => {};
    this.has = (_key) => true;
    this.node = h("div.virtual", { role, "aria-label": label });
    this.nodes = new Map();
    this.top = 0;
    const later = () => this.#schedule();
    this.target = scroller ?? window;
    this.target.addEventListener("scroll", later, { passive: true });
    window.addEventListener("resize", later);
    if (scroller)
      scroller.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.stop = () => {
      this.target.removeEventListener("scroll", later);
      window.removeEventListener("resize", later);
      cancelAnimationFrame(this.frame);
    };
  }

  get total() {
    return this.count * this.rowHeight();
  }

  get #viewport() {
    return this.scroller ? this.scroller.clientHeight - this.node.offsetTop : innerHeight;
  }

  get #scale() {
    const seen = this.#viewport;
    return this.total > MAX_PIXELS ? (this.total - seen) / (MAX_PIXELS - seen) : 1;
  }

  setCount(count) {
    this.count = count;
    this.node.style.height = `${Math.min(this.total, MAX_PIXELS)}px`;
    this.render();
  }

  #schedule() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.render());
  }

  #scrolled() {
    return this.scroller
      ? this.scroller.scrollTop
      : Math.max(0, -this.node.getBoundingClientRect().top);
  }

  #wheel(event) {
    if (this.#scale === 1 || event.ctrlKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))
      return;
    event.preventDefault();
    const step =
      event.deltaMode === 1 ? this.rowHeight() : event.deltaMode === 2 ? this.#viewport : 1;
    this.moveTo(this.top + event.deltaY * step);
  }

  /** Scroll to this pixel of the whole list. */
  moveTo(top) {
    this.top = Math.max(0, Math.min(top, this.total - this.#viewport));
    this.fixed = true;
    this.scroller.scrollTop = this.top / this.#scale;
    this.#schedule();
  }

  /** Make a row visible. */
  reveal(index) {
    const height = this.rowHeight();
    const [start, end] = [index * height, (index + 1) * height];
    if (start < this.top) this.moveTo(start);
    else if (end > this.top + this.#viewport) this.moveTo(end - this.#viewport);
    this.render();
  }

  render() {
    const height = this.rowHeight();
    const [scrolled, scale] = [this.#scrolled(), this.#scale];
    // Use the bar's position after a jump; a position set by this class is known more exactly.
    if (!(this.fixed && Math.abs(this.top / scale - scrolled) < 1)) {
      this.top = scrolled * scale;
      this.fixed = false;
    }
    const first = Math.max(0, Math.floor(this.top / height) - SPARE);
    const last = Math.min(this.count, Math.ceil((this.top + this.#viewport) / height) + SPARE);
    const kept = new Set();
    for (let i = first; i < last; i += 1) {
      const key = this.key(i);
      kept.add(key);
      let node = this.nodes.get(key);
      if (!node) {
        node = this.create(i);
        this.nodes.set(key, node);
        this.node.append(node);
      }
      this.patch(node, i);
      node.style.transform = `translateY(${Math.round(i * height - this.top + scrolled)}px)`;
    }
    this.#order(first, last);
    for (const [key, node] of this.nodes) {
      // the focused row stays
      if (kept.has(key) || (this.has(key) && node.contains(document.activeElement))) continue;
      node.remove();
      this.nodes.delete(key);
    }
    this.onrange(first, last);
  }

  /** Puts rows into the document in the order in which they are seen, for the Tab key and screen
   *  readers. A row is moved past the focused one, which would lose the focus if it moved. */
  #order(first, last) {
    const wanted = [];
    for (let i = first; i < last; i += 1) wanted.push(this.nodes.get(this.key(i)));
    const focused = wanted.findIndex((node) => node.contains(document.activeElement));
    const pivot = Math.max(focused, 0);
    for (let i = pivot + 1; i < wanted.length; i += 1)
      if (wanted[i - 1].nextElementSibling !== wanted[i]) wanted[i - 1].after(wanted[i]);
    for (let i = pivot - 1; i >= 0; i -= 1)
      if (wanted[i + 1].previousElementSibling !== wanted[i]) wanted[i + 1].before(wanted[i]);
  }

  /** Drops all drawn rows. */
  clear() {
    for (const node of this.nodes.values()) node.remove();
    this.nodes.clear();
  }
}
