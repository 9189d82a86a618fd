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
    if (type <= 0x8f) return visitAll(2 * (type & 0x0f), depth);
    if (type <= 0x9f) return visitAll(type & 0x0f, depth);
    if (type <= 0xbf) return skip(type & 0x1f);
    switch (type) {
      case 0xc0: // nil
      case 0xc2: // false
      case 0xc3: // true
        return;
      case 0xcc: // integers of 1, 2, 4 and 8 bytes, unsigned and signed
      case 0xd0:
        return skip(1);
      case 0xcd:
      case 0xd1:
        return skip(2);
      case 0xca: // float32
      case 0xce:
      case 0xd2:
        return skip(4);
      case 0xcb: // float64
      case 0xcf:
      case 0xd3:
        return skip(8);
      case 0xd9: // strings
        return skip(readLength(1));
      case 0xda:
        return skip(readLength(2));
      case 0xdb:
        return skip(readLength(4));
      case 0xdc: // arrays
        return visitAll(readLength(2), depth);
      case 0xdd:
        return visitAll(readLength(4), depth);
      case 0xde: // maps
        return visitAll(2 * readLength(2), depth);
      case 0xdf:
        return visitAll(2 * readLength(4), depth);
      default:
        throw new Error(`type 0x${type.toString(16)} has no place in a message`);
    }
  };

  visit(0);
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes follow its end`);
}
