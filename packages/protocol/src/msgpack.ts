/**
 * A look over a msgpack value before it is decoded. Decoders make an array as long as its prefix says before they see
 * its elements: five bytes could claim half a gigabyte. Here every length must be covered by bytes that are there.
 * Format: https://github.com/msgpack/msgpack/blob/master/spec.md
 */

const MAX_DEPTH = 16;

/** @throws Error when the bytes are not exactly one msgpack value made of the types that messages use */
export function checkMsgpack(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;

  const skip = (length: number): void => {
    if (length > bytes.length - at) throw new Error('it ends too early');
    at += length;
  };
  /** An unsigned big-endian number of 1, 2 or 4 bytes. */
  const readLength = (size: 1 | 2 | 4): number => {
    skip(size);
    if (size === 1) return view.getUint8(at - 1);
    return size === 2 ? view.getUint16(at - 2) : view.getUint32(at - 4);
  };
  const visitAll = (count: number, depth: number): void => {
    // Every value takes at least one byte.
    if (count > bytes.length - at) throw new Error('it ends too early');
    for (let i = 0; i < count; i++) visit(depth + 1);
  };
  const visit = (depth: number): void => {
    if (depth > MAX_DEPTH) throw new Error(`it is nested deeper than ${MAX_DEPTH}`);
    const type = readLength(1);
    if (type <= 0x7f || type >= 0xe0) return; // small integers
    if (type <= 0x8f) visitAll(2 * (type & 0x0f), depth);
    else if (type <= 0x9f) visitAll(type & 0x0f, depth);
    else if (type <= 0xbf) skip(type & 0x1f);
    else visitLong(type, depth);
  };
  /** A value whose type takes the whole first byte. */
  const visitLong = (type: number, depth: number): void => {
    switch (type) {
      case 0xc0: // nil
      case 0xc2: // false
      case 0xc3: // true
        break;
      case 0xcc: // integers of 1, 2, 4 and 8 bytes, unsigned and signed
      case 0xd0:
        skip(1);
        break;
      case 0xcd:
      case 0xd1:
        skip(2);
        break;
      case 0xca: // float32
      case 0xce:
      case 0xd2:
        skip(4);
        break;
      case 0xcb: // float64
      case 0xcf:
      case 0xd3:
        skip(8);
        break;
      case 0xd9: // strings
        skip(readLength(1));
        break;
      case 0xda:
        skip(readLength(2));
        break;
      case 0xdb:
        skip(readLength(4));
        break;
      case 0xdc: // arrays
        visitAll(readLength(2), depth);
        break;
      case 0xdd:
        visitAll(readLength(4), depth);
        break;
      case 0xde: // maps
        visitAll(2 * readLength(2), depth);
        break;
      case 0xdf:
        visitAll(2 * readLength(4), depth);
        break;
      default:
        throw new Error(`type 0x${type.toString(16)} has no place in a message`);
    }
  };

  visit(0);
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes follow its end`);
}
