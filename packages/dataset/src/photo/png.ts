/** Chunks of a PNG file. */
import { crc32 } from 'node:zlib';

const SIGNATURE_BYTES = 8;
/** Length, type and checksum around a chunk's data. */
const FRAME_BYTES = 12;
const COLOUR_CHUNKS: ReadonlySet<string> = new Set(['gAMA', 'cHRM', 'iCCP', 'sRGB', 'cICP']);

/** What is to be decoded, or what is wrong with it. */
export type Checked = { readonly ok: true; readonly bytes: Buffer } | { readonly ok: false; readonly problem: string };

/**
 * The picture without its notes on colour, so that grey values are decoded as they are stored: programs write the same
 * pixels with and without a gamma, which a decoder would apply. Checks what the decoder does not: that the file is whole.
 */
export function withoutColourNotes(png: Buffer): Checked {
  const kept = [png.subarray(0, SIGNATURE_BYTES)];
  for (let at = SIGNATURE_BYTES; at + FRAME_BYTES <= png.length; ) {
    const end = at + FRAME_BYTES + png.readUInt32BE(at);
    const type = png.toString('latin1', at + 4, at + 8);
    if (end > png.length) break;
    if (!COLOUR_CHUNKS.has(type)) {
      if (crc32(png.subarray(at + 4, end - 4)) !== png.readUInt32BE(end - 4)) {
        return { ok: false, problem: `is damaged: the checksum of its ${type} chunk is wrong` };
      }
      kept.push(png.subarray(at, end));
    }
    if (type === 'IEND') return { ok: true, bytes: Buffer.concat(kept) };
    at = end;
  }
  return { ok: false, problem: CUT_OFF };
}

export const CUT_OFF = 'is cut off: its data ends too early';
