/** Draws one random garment of each class, in garment coordinates: x and y within about -1..1, y down, toes left. */

import type { Draws } from './random.ts';
import type { Canvas } from './raster.ts';

/** Draws a garment of one class at brightness `shade` and leaves the details as lighter and darker cloth. */
type Drawing = (canvas: Canvas, draws: Draws, shade: number) => void;

/** What tops, dresses and coats share: a body with a neck, and sleeves of some length. Widths are half-widths. */
interface Torso {
  readonly neck: number;
  readonly neckDepth: number;
  readonly shoulder: number;
  readonly chest: number;
  readonly waist: number;
  readonly hem: number;
  readonly hemY: number;
  /** 0 none, 0.4 short, 1.6 down to the hem. */
  readonly sleeve: number;
}

function torso(canvas: Canvas, draws: Draws, shade: number, t: Torso): void {
  const shoulderY = draws.between(-0.93, -0.82);
  const armpitY = shoulderY + draws.between(0.38, 0.55);
  if (t.sleeve > 0.05) {
    // Short sleeves stick out, long ones hang down beside the body.
    const outward = t.sleeve < 0.7 ? draws.between(0.45, 0.85) : draws.between(0.14, 0.3);
    const length = t.sleeve / Math.sqrt(1 + outward * outward);
    const cuff = draws.between(0.2, 0.3) - 0.04 * t.sleeve;
    const sleeveShade = shade * draws.between(0.82, 1.05);
    for (const side of [-1, 1]) {
      const endX = t.shoulder + outward * length;
      const endY = shoulderY + length;
      canvas
        .from(side * (t.shoulder - 0.12), shoulderY - 0.04)
        .curve(side * (t.shoulder + outward * 0.25), shoulderY, side * endX, endY)
        .to(side * (endX - cuff), endY + cuff * outward * 0.6)
        .to(side * (t.chest - 0.1), armpitY)
        .fill(sleeveShade);
    }
  }
  canvas.mirrored([
    0,
    -1 + t.neckDepth,
    t.neck * 0.7,
    -1 + t.neckDepth * 0.75,
    t.neck,
    -1,
    t.shoulder,
    shoulderY,
    t.chest,
    armpitY,
    t.waist,
    0.5 * (armpitY + t.hemY) - 0.05,
    t.hem,
    t.hemY,
  ]);
  canvas.fill(shade);
}

function collar(canvas: Canvas, draws: Draws, neck: number): void {
  const tone = draws.chance(0.5) ? draws.between(0.6, 0.85) : draws.between(1.1, 1.35);
  const drop = draws.between(0.2, 0.42);
  for (const side of [-1, 1]) {
    canvas
      .from(0, -0.86)
      .to(side * neck, -1.02)
      .to(side * neck * 1.35, -1 + drop * 0.7)
      .to(side * neck * 0.35, -1 + drop)
      .tint(tone);
  }
}

function placket(canvas: Canvas, draws: Draws, hemY: number, tone: number): void {
  const width = draws.between(0.025, 0.05);
  const x = draws.around(0, 0.05);
  canvas.box(x - width, -0.85, x + width, hemY).tint(tone);
  if (draws.chance(0.5)) {
    for (let y = -0.6; y < hemY - 0.1; y += 0.32) canvas.box(x - 0.06, y, x + 0.06, y + 0.07).tint(tone);
  }
}

/** A motif on the chest. */
function print(canvas: Canvas, draws: Draws): void {
  const width = draws.between(0.12, 0.3);
  const y = draws.between(-0.5, -0.1);
  const height = draws.between(0.1, 0.5);
  const tone = draws.chance(0.6) ? draws.between(0.25, 0.65) : draws.between(1.2, 1.8);
  if (draws.chance(0.5)) canvas.box(-width, y, width, y + height).tint(tone);
  else
    canvas
      .from(0, y)
      .to(width, y + height * 0.5)
      .to(0, y + height)
      .to(-width, y + height * 0.5)
      .tint(tone);
}

const tShirt: Drawing = (canvas, draws, shade) => {
  const chest = draws.between(0.42, 0.58);
  const top = draws.chance(0.12);
  torso(canvas, draws, shade, {
    neck: draws.between(0.18, 0.32),
    neckDepth: draws.between(0.1, top ? 0.5 : 0.32),
    shoulder: top ? draws.between(0.3, 0.42) : draws.between(0.46, 0.56),
    chest,
    waist: chest + draws.around(-0.02, 0.07),
    hem: chest + draws.around(0.02, 0.08),
    hemY: draws.between(0.78, 1),
    sleeve: top ? 0 : draws.between(0.3, 0.72),
  });
  if (draws.chance(0.4)) print(canvas, draws);
  if (draws.chance(0.08)) collar(canvas, draws, 0.25);
};

const trouser: Drawing = (canvas, draws, shade) => {
  const waist = draws.between(0.3, 0.46);
  const hip = waist + draws.between(0.04, 0.12);
  const crotch = draws.between(-0.45, -0.2);
  const foot = draws.between(0.14, 0.3);
  const spread = draws.between(0.04, 0.16);
  const hemY = draws.chance(0.08) ? draws.between(0.1, 0.6) : draws.between(0.9, 1);
  for (const side of [-1, 1]) {
    canvas
      .from(0, -1)
      .to(side * waist, -1)
      .to(side * hip, -0.6)
      .to(side * (spread + foot), hemY)
      .to(side * spread, hemY)
      .to(0, crotch)
      .fill(shade * (side < 0 ? 1 : draws.between(0.88, 1.05)));
  }
  if (draws.chance(0.6)) canvas.box(-waist, -1, waist, -0.9).tint(draws.between(0.6, 0.9));
  if (draws.chance(0.5)) canvas.box(-0.03, -0.95, 0.03, crotch).tint(0.65);
};

const pullover: Drawing = (canvas, draws, shade) => {
  const chest = draws.between(0.44, 0.58);
  const hemY = draws.between(0.78, 1);
  const hem = chest + draws.around(-0.02, 0.07);
  const neck = draws.between(0.16, 0.28);
  torso(canvas, draws, shade, {
    neck,
    neckDepth: draws.between(0.04, 0.2),
    shoulder: draws.between(0.46, 0.56),
    chest,
    waist: chest + draws.around(0, 0.05),
    hem,
    hemY,
    sleeve: draws.between(1.15, 1.75),
  });
  if (draws.chance(0.6)) canvas.box(-hem, hemY - 0.14, hem, hemY).tint(draws.between(0.65, 0.9));
  if (draws.chance(0.35)) canvas.box(-neck, -1, neck, -0.86).tint(draws.between(0.6, 1.2));
  if (draws.chance(0.25)) print(canvas, draws);
  if (draws.chance(0.15)) placket(canvas, draws, draws.between(-0.3, hemY), draws.between(0.6, 0.85));
};

const dress: Drawing = (canvas, draws, shade) => {
  const chest = draws.between(0.26, 0.42);
  const waist = chest - draws.between(0, 0.12);
  const hem = draws.chance(0.35) ? draws.between(0.5, 0.75) : chest + draws.between(0, 0.2);
  const long = draws.chance(0.3);
  torso(canvas, draws, shade, {
    neck: draws.between(0.14, 0.26),
    neckDepth: draws.between(0.1, 0.4),
    shoulder: draws.between(0.26, 0.4),
    chest,
    waist,
    hem,
    hemY: draws.between(0.94, 1.02),
    sleeve: long ? draws.between(0.8, 1.3) : draws.chance(0.5) ? draws.between(0.1, 0.45) : 0,
  });
  if (draws.chance(0.4)) canvas.box(-waist - 0.06, -0.18, waist + 0.06, -0.06).tint(draws.between(0.4, 0.8));
  if (draws.chance(0.1)) print(canvas, draws);
};

const coat: Drawing = (canvas, draws, shade) => {
  const chest = draws.between(0.42, 0.56);
  const neck = draws.between(0.16, 0.28);
  const hemY = draws.between(0.86, 1.02);
  torso(canvas, draws, shade, {
    neck,
    neckDepth: draws.between(0.04, 0.3),
    shoulder: draws.between(0.44, 0.56),
    chest,
    waist: chest + draws.around(-0.04, 0.08),
    hem: chest + draws.around(0.04, 0.1),
    hemY,
    sleeve: draws.between(1.25, 1.8),
  });
  if (draws.chance(0.85)) placket(canvas, draws, hemY, draws.between(0.25, 0.75));
  if (draws.chance(0.5)) collar(canvas, draws, neck);
  if (draws.chance(0.35)) {
    const y = draws.between(0.15, 0.4);
    for (const side of [-1, 1]) canvas.box(side * 0.16, y, side * 0.36, y + 0.09).tint(draws.between(0.5, 0.75));
  }
};

const shirt: Drawing = (canvas, draws, shade) => {
  const chest = draws.between(0.38, 0.58);
  const neck = draws.between(0.16, 0.3);
  const hemY = draws.between(0.8, 1.02);
  const kind = draws.below(10);
  torso(canvas, draws, shade, {
    neck,
    neckDepth: draws.between(0.06, 0.34),
    shoulder: draws.between(0.38, 0.56),
    chest,
    waist: chest + draws.around(-0.03, 0.07),
    hem: chest + draws.around(0.02, 0.1),
    hemY,
    sleeve: kind < 4 ? draws.between(0.25, 0.8) : kind < 9 ? draws.between(1.1, 1.7) : 0,
  });
  const buttoned = draws.chance(0.65);
  if (buttoned) placket(canvas, draws, hemY, draws.between(0.55, 0.85));
  if (draws.chance(buttoned ? 0.7 : 0.5)) collar(canvas, draws, neck);
  if (draws.chance(0.2)) canvas.box(0.12, -0.4, 0.34, -0.16).tint(draws.between(0.7, 1.25));
};

const sandal: Drawing = (canvas, draws, shade) => {
  const heel = draws.chance(0.4) ? draws.between(0.2, 0.75) : draws.between(0, 0.12);
  const ground = draws.between(0.5, 0.75);
  const sole = draws.between(0.1, 0.2);
  const back = ground - heel;
  canvas
    .from(-1, ground)
    .to(-1, ground - sole * 0.7)
    .curve(-0.3, ground - sole, 0.1, ground - sole - heel * 0.5)
    .curve(0.5, back - sole, 0.95, back - sole)
    .to(0.95, back)
    .curve(0.4, back + 0.05, 0, ground - heel * 0.25)
    .curve(-0.3, ground, -1, ground)
    .fill(shade);
  if (heel > 0.12) {
    const thin = draws.between(0.08, 0.3);
    canvas
      .from(0.95, back)
      .to(0.9, ground)
      .to(0.9 - thin, ground)
      .to(0.8 - thin * 1.4, back)
      .fill(shade * 0.9);
  }
  const straps = 1 + draws.below(4);
  for (let i = 0; i < straps; i++) {
    const foot = draws.between(-0.85, 0.5);
    const base = ground - sole * 0.6 - (foot > 0 ? heel * 0.6 : heel * 0.15);
    const height = draws.between(0.2, 0.5);
    const lean = draws.around(0.15, 0.35);
    const width = draws.between(0.09, 0.2);
    canvas
      .from(foot, base)
      .curve(foot + lean * 0.2, base - height, foot + lean + 0.2, base - height)
      .to(foot + lean + 0.2 + width, base - height)
      .curve(foot + lean + width, base - height * 0.4, foot + width * 1.3, base)
      .fill(shade * draws.between(0.6, 1.1));
  }
  if (draws.chance(0.5)) {
    const y = back - sole - draws.between(0.2, 0.6);
    canvas
      .from(0.2, y)
      .curve(0.55, y + 0.12, 0.9, y)
      .to(0.95, back - sole)
      .to(0.8, back - sole)
      .to(0.76, y + 0.14);
    canvas.curve(0.5, y + 0.25, 0.2, y + 0.14).fill(shade * draws.between(0.6, 1.05));
  }
};

const sneaker: Drawing = (canvas, draws, shade) => {
  const ground = draws.between(0.45, 0.7);
  const sole = draws.between(0.12, 0.24);
  const collarY = draws.chance(0.2) ? draws.between(-0.8, -0.4) : draws.between(-0.4, -0.05);
  const mouth = draws.between(0.05, 0.35);
  const toe = draws.between(0.2, 0.36);
  canvas
    .from(-1, ground - sole * 0.5)
    .curve(-1, ground - sole - toe, -0.6, ground - sole - toe - 0.06)
    .curve(-0.2, ground - sole - toe - 0.1, mouth, collarY)
    .curve(0.5 * (mouth + 0.85), collarY + draws.between(0.05, 0.22), 0.85, collarY - draws.between(0, 0.14))
    .curve(1, ground - 0.4, 0.98, ground - sole * 0.5)
    .fill(shade);
  canvas
    .from(-1, ground - sole)
    .to(1, ground - sole)
    .to(0.98, ground)
    .to(-0.92, ground)
    .fill(draws.chance(0.7) ? draws.between(0.75, 1) : shade * 0.6);
  if (draws.chance(0.6)) {
    for (let i = 0; i < 3; i++) {
      const x = mouth - 0.1 - i * 0.17;
      canvas.box(x, collarY + 0.12 + i * 0.07, x + 0.07, collarY + 0.34 + i * 0.07).tint(draws.between(0.5, 1.4));
    }
  }
  if (draws.chance(0.5)) {
    const x = draws.between(-0.2, 0.4);
    canvas
      .from(x, 0)
      .to(x + 0.2, -0.05)
      .to(x + 0.4, ground - sole)
      .to(x + 0.1, ground - sole)
      .tint(draws.between(0.4, 1.5));
  }
};

const bag: Drawing = (canvas, draws, shade) => {
  const width = draws.between(0.6, 1);
  const top = draws.between(-0.55, 0);
  const bottom = draws.between(0.6, 0.95);
  const taper = draws.around(0, 0.18);
  const grip = draws.between(0.25, 0.75) * width;
  if (draws.chance(0.75)) {
    const rise = draws.between(0.3, 0.95);
    const thick = draws.between(0.07, 0.14);
    const y = top - rise;
    canvas
      .from(-grip, top + 0.05)
      .curve(-grip, y, 0, y)
      .curve(grip, y, grip, top + 0.05);
    canvas.to(grip - thick, top + 0.05).curve(grip - thick, y + thick * 1.4, 0, y + thick * 1.4);
    canvas.curve(thick - grip, y + thick * 1.4, thick - grip, top + 0.05).fill(shade * draws.between(0.6, 1));
  }
  const round = draws.between(0.02, 0.25);
  canvas
    .from(-width + round - taper, top)
    .to(width - round - taper, top)
    .curve(width - taper, top, width - taper, top + round)
    .to(width + taper * 0.5, bottom - round)
    .curve(width, bottom, width - round, bottom)
    .to(-width + round, bottom)
    .curve(-width, bottom, -width - taper * 0.5, bottom - round)
    .to(-width - taper, top + round)
    .curve(-width - taper, top, -width + round - taper, top)
    .fill(shade);
  if (draws.chance(0.5)) {
    const flap = top + (bottom - top) * draws.between(0.25, 0.6);
    canvas
      .from(-width, top)
      .to(width, top)
      .to(width * 0.9, flap)
      .to(-width * 0.9, flap)
      .tint(draws.between(0.7, 1.25));
    canvas.box(-0.08, flap - 0.08, 0.08, flap + 0.1).tint(draws.between(0.3, 1.8));
  }
};

const ankleBoot: Drawing = (canvas, draws, shade) => {
  const ground = draws.between(0.65, 0.85);
  const heel = draws.chance(0.4) ? draws.between(0.2, 0.45) : draws.between(0, 0.1);
  const shaft = draws.chance(0.2) ? draws.between(-0.35, 0) : draws.between(-0.95, -0.3);
  const front = draws.between(-0.15, 0.25);
  const toe = draws.between(0.28, 0.45);
  canvas
    .from(-1, ground - 0.08)
    .curve(-1, ground - toe, -0.6, ground - toe - 0.05)
    .curve(front - 0.05, ground - toe - 0.2, front, shaft)
    .to(0.88, shaft + draws.around(0, 0.08))
    .curve(0.78, 0.3, 0.95, ground - heel - 0.05)
    .to(0.2, ground - heel * 0.5 - 0.03)
    .to(-0.2, ground - 0.04)
    .fill(shade);
  const sole = shade * draws.between(0.5, 1.2);
  canvas
    .from(-1, ground - 0.1)
    .to(-0.1, ground - 0.1)
    .to(0.3, ground - heel - 0.06)
    .to(0.96, ground - heel - 0.06);
  canvas
    .to(0.94, ground)
    .to(0.5, ground)
    .to(0.44, ground - heel)
    .to(-0.1, ground)
    .to(-1, ground)
    .fill(sole);
  if (draws.chance(0.35)) canvas.box(front, shaft, 0.9, shaft + 0.16).tint(draws.between(0.5, 1.3));
  if (draws.chance(0.3)) canvas.box(0.35, shaft, 0.5, 0.35).tint(draws.between(0.5, 0.8));
};

/** By label. */
export const DRAWINGS: readonly Drawing[] = [
  tShirt,
  trouser,
  pullover,
  dress,
  coat,
  sandal,
  shirt,
  sneaker,
  bag,
  ankleBoot,
];
