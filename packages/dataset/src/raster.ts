/**
 * Draws filled outlines on a 28 x 28 grid with exact area coverage, for the synthetic garments.
 *
 * Method: each edge adds the signed area to its right to an accumulation buffer, and a running sum along each row gives
 * the coverage of every pixel (as in the font-rs rasteriser). Only + - * / and floor are used, so every machine draws
 * the same bytes.
 */

const SIZE = 28;
/** Columns to either side that catch what lies outside of the picture. */
const MARGIN = 10;
const STRIDE = SIZE + 2 * MARGIN + 2;

/** A picture of 28 x 28 shades (0 black, 1 white), drawn in garment coordinates: x and y within about -1..1, y down. */
export class Canvas {
  /** [28 * 28] row-major. */
  readonly shades = new Float32Array(SIZE * SIZE);
  readonly #area = new Float64Array(STRIDE * SIZE);
  #centreX = 0;
  #centreY = 0;
  #scaleX = 1;
  #scaleY = 1;
  #slant = 0;
  #startX = 0;
  #startY = 0;
  #lastX = 0;
  #lastY = 0;
  #top = SIZE;
  #bottom = 0;

  /** Clears the picture and sets where garment coordinates land: centre and scale in pixels, `slant` as dx per dy. */
  restart(centreX: number, centreY: number, scaleX: number, scaleY: number, slant: number): void {
    this.shades.fill(0);
    this.#centreX = centreX;
    this.#centreY = centreY;
    this.#scaleX = scaleX;
    this.#scaleY = scaleY;
    this.#slant = slant;
  }

  /** Begins an outline. */
  from(x: number, y: number): this {
    this.#startX = this.#lastX = x;
    this.#startY = this.#lastY = y;
    return this;
  }

  /** Continues it with a straight edge. */
  to(x: number, y: number): this {
    this.#edge(this.#lastX, this.#lastY, x, y);
    this.#lastX = x;
    this.#lastY = y;
    return this;
  }

  /** Continues it with a quadratic Bézier curve pulled towards (cx, cy). */
  curve(cx: number, cy: number, x: number, y: number): this {
    const x0 = this.#lastX;
    const y0 = this.#lastY;
    for (let i = 1; i <= 5; i++) {
      const t = i / 5;
      const s = 1 - t;
      this.to(s * s * x0 + 2 * s * t * cx + t * t * x, s * s * y0 + 2 * s * t * cy + t * t * y);
    }
    return this;
  }

  /** Closes the outline and fills it, over what is there. */
  fill(shade: number): void {
    this.#paint(shade, 1);
  }

  /** Closes the outline and multiplies what lies beneath it by `factor`: light and dark details of the cloth. */
  tint(factor: number): void {
    this.#paint(factor, 0);
  }

  /** An outline given by its right half, top to bottom, as x, y pairs; the left half mirrors it. */
  mirrored(half: readonly number[]): this {
    this.from(half[0]!, half[1]!);
    for (let i = 2; i < half.length; i += 2) this.to(half[i]!, half[i + 1]!);
    for (let i = half.length - 2; i >= 0; i -= 2) this.to(-half[i]!, half[i + 1]!);
    return this;
  }

  box(left: number, top: number, right: number, bottom: number): this {
    return this.from(left, top).to(right, top).to(right, bottom).to(left, bottom);
  }

  #paint(value: number, opaque: 0 | 1): void {
    this.to(this.#startX, this.#startY);
    const area = this.#area;
    const shades = this.shades;
    for (let y = this.#top; y < this.#bottom; y++) {
      let sum = 0;
      let at = y * STRIDE;
      for (let x = 0; x < MARGIN; x++, at++) sum += area[at]!;
      const row = y * SIZE;
      for (let x = 0; x < SIZE; x++, at++) {
        sum += area[at]!;
        const coverage = sum < 0 ? (sum < -1 ? 1 : -sum) : Math.min(sum, 1);
        if (coverage < 1e-4) continue;
        const under = shades[row + x]!;
        const over = opaque === 1 ? value : under * value;
        shades[row + x] = under + (over - under) * coverage;
      }
      area.fill(0, y * STRIDE, (y + 1) * STRIDE);
    }
    this.#top = SIZE;
    this.#bottom = 0;
  }

  #edge(fromX: number, fromY: number, toX: number, toY: number): void {
    let x0 = this.#column(fromX, fromY);
    let y0 = this.#centreY + fromY * this.#scaleY;
    let x1 = this.#column(toX, toY);
    let y1 = this.#centreY + toY * this.#scaleY;
    if (y0 === y1) return;
    let direction = 1;
    if (y0 > y1) {
      [x0, y0, x1, y1] = [x1, y1, x0, y0];
      direction = -1;
    }
    const slope = (x1 - x0) / (y1 - y0);
    let x = y0 < 0 ? x0 - y0 * slope : x0;
    const first = y0 < 0 ? 0 : Math.floor(y0);
    const end = Math.min(SIZE, Math.ceil(y1));
    if (first >= end) return;
    if (first < this.#top) this.#top = first;
    if (end > this.#bottom) this.#bottom = end;
    for (let y = first; y < end; y++) {
      const height = Math.min(y + 1, y1) - Math.max(y, y0);
      const next = x + slope * height;
      this.#row(y * STRIDE, x, next, direction * height);
      x = next;
    }
  }

  /** Adds an edge that crosses one row from column `a` to column `b`, covering `height` of it (signed). */
  #row(at: number, a: number, b: number, height: number): void {
    const area = this.#area;
    const left = Math.min(a, b);
    const right = Math.max(a, b);
    const first = Math.floor(left);
    const last = Math.ceil(right);
    if (last <= first + 1) {
      const share = height * (0.5 * (left + right) - first);
      area[at + first]! += height - share;
      area[at + first + 1]! += share;
      return;
    }
    // The edge crosses several columns: hand each one the part of the height that lies to its left.
    const perColumn = 1 / (right - left);
    let before = 0;
    let given = 0;
    for (let column = first; column < last; column++) {
      const from = Math.max(column, left);
      const to = Math.min(column + 1, right);
      const part = (to - from) * perColumn;
      const beyond = column + 1 - 0.5 * (from + to);
      const covered = before + part * beyond;
      area[at + column]! += height * (covered - given);
      given = covered;
      before += part;
    }
    area[at + last]! += height * (1 - given);
  }

  #column(x: number, y: number): number {
    const column = MARGIN + this.#centreX + (x + this.#slant * y) * this.#scaleX;
    return column < 0 ? 0 : Math.min(column, STRIDE - 2);
  }
}
