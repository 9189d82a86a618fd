/** Draws a confusion matrix as a heat map: what the pictures are against what the model says. */
import { COLOURS, font, openCanvas, writePicture } from './drawing.ts';

export interface ConfusionMapOptions {
  /** Rows: true class, columns: predicted class. */
  readonly confusion: readonly (readonly number[])[];
  readonly classNames: readonly string[];
  readonly title: string;
}

/** Lengths in pixels of the picture. */
const CELL = 62;
const MARGIN = 32;
const FONT = 18;
const SMALL_FONT = 14;
/** Between labels and cells. */
const SPACE = 12;

type Colour = readonly [red: number, green: number, blue: number];
const CORRECT: Colour = [23, 92, 168];
const WRONG: Colour = [196, 62, 28];
/** Of a colour mixed with white: from here on dark text could not be read any more. */
const DARK_FROM = 0.75;

const mixed = ([red, green, blue]: Colour, strength: number): string => {
  const channel = (value: number): number => Math.round(255 + (value - 255) * strength);
  return `rgb(${channel(red)}, ${channel(green)}, ${channel(blue)})`;
};

/** Encodes the heat map as PNG. */
async function confusionMap({ confusion, classNames, title }: ConfusionMapOptions): Promise<Buffer> {
  const createCanvas = await openCanvas();
  const measure = createCanvas(1, 1).getContext('2d');
  measure.font = font(FONT);
  const widest = Math.max(...classNames.map((name) => measure.measureText(name).width));
  const left = MARGIN + FONT * 1.6 + widest + SPACE;
  // Column names stand upright.
  const top = MARGIN + FONT * 4.4 + FONT * 1.6 + widest + SPACE;
  const size = CELL * classNames.length;
  const page = createCanvas(Math.ceil(left + size + MARGIN), Math.ceil(top + size + MARGIN));
  const ink = page.getContext('2d');
  const text = (
    words: string,
    x: number,
    y: number,
    colour: string,
    look: string,
    align: 'left' | 'right' | 'center',
  ) => {
    ink.fillStyle = colour;
    ink.font = look;
    ink.textAlign = align;
    ink.fillText(words, x, y);
  };
  /** Words that run upwards from a point. */
  const upright = (words: string, x: number, y: number, align: 'left' | 'center'): void => {
    ink.save();
    ink.translate(x, y);
    ink.rotate(-Math.PI / 2);
    text(words, 0, 0, COLOURS.label, font(FONT), align);
    ink.restore();
  };
  ink.fillStyle = COLOURS.page;
  ink.fillRect(0, 0, page.width, page.height);
  ink.textBaseline = 'middle';
  text(title, MARGIN, MARGIN + FONT * 0.7, COLOURS.title, font(Math.round(FONT * 1.35)), 'left');
  const legend = 'Pictures of each class; darker is a larger share of the row, and errors are drawn stronger.';
  text(legend, MARGIN, MARGIN + FONT * 2.5, COLOURS.label, font(SMALL_FONT), 'left');
  text('the model says', left + size / 2, MARGIN + FONT * 4.6, COLOURS.label, font(FONT), 'center');
  upright('it is', MARGIN + FONT * 0.5, top + size / 2, 'center');
  classNames.forEach((name, i) => {
    const middle = (i + 0.5) * CELL;
    text(name, left - SPACE, top + middle, COLOURS.label, font(FONT), 'right');
    upright(name, left + middle, top - SPACE, 'left');
  });
  confusion.forEach((row, y) => {
    const total = Math.max(
      1,
      row.reduce((sum, count) => sum + count, 0),
    );
    row.forEach((count, x) => {
      // Errors are few: the root keeps one in a hundred visible.
      const strength = x === y ? count / total : Math.min(1, 1.4 * Math.sqrt(count / total));
      ink.fillStyle = mixed(x === y ? CORRECT : WRONG, strength);
      ink.fillRect(left + x * CELL, top + y * CELL, CELL, CELL);
      const colour = strength > DARK_FROM ? COLOURS.page : COLOURS.title;
      const words = count.toLocaleString('en-US');
      if (count > 0) text(words, left + (x + 0.5) * CELL, top + (y + 0.5) * CELL, colour, font(SMALL_FONT), 'center');
    });
  });
  ink.strokeStyle = COLOURS.frame;
  ink.lineWidth = 1;
  for (let i = 0; i <= classNames.length; i++) {
    ink.strokeRect(left + i * CELL, top, 0, size);
    ink.strokeRect(left, top + i * CELL, size, 0);
  }
  return page.encode('png');
}

/**
 * Writes the heat map to `path` in one piece, creating its folder.
 * @returns the absolute path
 * @throws LockstepError `output-unwritable`
 */
export async function writeConfusionMap(path: string, options: ConfusionMapOptions): Promise<string> {
  return writePicture(path, await confusionMap(options));
}
