/*
 * PostgreSQL's binary format of one-dimensional arrays, as in array_send(): a header of five 32-bit integers (dimensions,
 * whether there are nulls, element type, length, lower bound), then for each element its length in bytes (-1: null) and
 * its bytes. A text literal of the same array would have to be escaped character by character, here and in the server.
 */

const TEXT_OID = 25
const BIGINT_OID = 20
const HEADER_BYTES = 20
const LENGTH_BYTES = 4
/** Of the buffer that is used again; single arrays that are larger get one of their own. */
const FIRST_BYTES = 64 * 1024
const MAX_BYTES = 1024 * 1024

/** Where the bytes go: a part of a buffer that is used again, or a new one. */
export type Allocate = (bytes: number) => Buffer

/** An array that is written when it is sent. */
export interface BinaryArray {
  readonly encode: (allocate: Allocate) => Buffer
}

export function textArray(items: ReadonlyArray<string | null>): BinaryArray {
  return {
    encode(allocate) {
      let size = HEADER_BYTES
      const lengths = items.map((item) => {
        const length = item === null ? 0 : Buffer.byteLength(item, 'utf8')
        size += LENGTH_BYTES + length
        return length
      })
      const buffer = allocate(size)
      let offset = writeHeader(buffer, TEXT_OID, items)
      items.forEach((item, index) => {
        const length = lengths[index] ?? 0
        offset = buffer.writeInt32BE(item === null ? -1 : length, offset)
        if (item !== null) offset += buffer.write(item, offset, length, 'utf8')
      })
      return buffer
    }
  }
}

export function bigintArray(items: ReadonlyArray<number | null>): BinaryArray {
  return {
    encode(allocate) {
      const buffer = allocate(HEADER_BYTES + items.length * (LENGTH_BYTES + 8))
      let offset = writeHeader(buffer, BIGINT_OID, items)
      for (const item of items) {
        offset = buffer.writeInt32BE(item === null ? -1 : 8, offset)
        if (item !== null) offset = buffer.writeBigInt64BE(BigInt(item), offset)
      }
      return buffer.subarray(0, offset)
    }
  }
}

/**
 * One buffer for all statements, as each is copied by the driver while it is sent. A new one for each batch would be garbage
 * outside of V8's heap, which makes V8 collect all of the heap, again and again: six times a second at 25,000 saves.
 */
export class ScratchBuffer {
  #buffer = Buffer.allocUnsafeSlow(FIRST_BYTES)
  #used = 0

  /** From here on all of it may be written over. */
  readonly reset = (): void => {
    this.#used = 0
  }

  readonly allocate: Allocate = (bytes) => {
    if (bytes > MAX_BYTES) return Buffer.allocUnsafe(bytes)
    if (this.#used + bytes > this.#buffer.length) {
      // What was handed out before stays valid in the former one.
      this.#buffer = Buffer.allocUnsafeSlow(Math.min(2 * MAX_BYTES, 2 * (this.#used + bytes)))
      this.#used = 0
    }
    const start = this.#used
    this.#used += bytes
    return this.#buffer.subarray(start, this.#used)
  }
}

function writeHeader(buffer: Buffer, elementType: number, items: readonly unknown[]): number {
  let offset = buffer.writeInt32BE(1, 0)
  offset = buffer.writeInt32BE(items.includes(null) ? 1 : 0, offset)
  offset = buffer.writeInt32BE(elementType, offset)
  offset = buffer.writeInt32BE(items.length, offset)
  return buffer.writeInt32BE(1, offset)
}
