/** Numbers that code reads when it is called, in memory that its first argument points to. */
import { at, type Place, registers } from './assembler.ts';
import { type Address, addressOf, type Code } from './machine.ts';

const FIELD_BYTES = 8;

/** One field for each name, in which an address, a count or a float32 can be. */
export class Arguments<Name extends string> {
  readonly #names: readonly Name[];
  /** Halves of the fields, the lower one first: integers of 64 bits would be slow to make. */
  readonly #words: Uint32Array;
  readonly #floats: Float32Array;
  readonly #address: Address;

  constructor(names: readonly Name[]) {
    this.#names = names;
    this.#words = new Uint32Array(2 * names.length);
    this.#floats = new Float32Array(this.#words.buffer);
    this.#address = addressOf(this.#words);
  }

  /** Where code finds it, as long as its first argument is where it came. */
  place(name: Name): Place {
    return at(registers.rdi, FIELD_BYTES * this.#names.indexOf(name));
  }

  give(name: Name, value: number): void {
    const field = 2 * this.#names.indexOf(name);
    this.#words[field] = value >>> 0;
    this.#words[field + 1] = value / 2 ** 32;
  }

  giveFloat(name: Name, value: number): void {
    this.#floats[2 * this.#names.indexOf(name)] = value;
  }

  call(code: Code): void {
    code.call(this.#address, 0, 0);
  }
}
