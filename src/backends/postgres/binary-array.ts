/*
 * PostgreSQL's binary format of one-dimensional arrays, as in array_send(): a header of five 32-bit integers (dimensions,
 * whether there are nulls, element type, length, lower bound), then for each element its length in bytes (-1: null) and
 * its bytes. A text literal of the same array would have to be escaped character by character, here and in the server.
 */

const TEXT_OID = 25
const BIGINT_OID = 20
const HEADER_BYTES = 20
const LENGTH_BYTES = 4

export function textArray(items: ReadonlyArray<string | null>): Buffer {
  let size = HEADER_BYTES
  const lengths = items.map((item) => {
    const length = item === null ? 0 : Buffer.byteLength(item, 'utf8')
    size += LENGTH_BYTES + length
    return length
  })
  const buffer = Buffer.allocUnsafe(size)
  let offset = writeHeader(buffer, TEXT_OID, items)
  items.forEach((item, index) => {
    const length = lengths[index] ?? 0
    offset = buffer.writeInt32BE(item === null ? -1 : length, offset)
    if (item !== null) offset += buffer.write(item, offset, length, 'utf8')
  })
  return buffer
}

export function bigintArray(items: ReadonlyArray<number | null>): Buffer {
  const buffer = Buffer.allocUnsafe(HEADER_BYTES + items.length * (LENGTH_BYTES + 8))
  let offset = writeHeader(buffer, BIGINT_OID, items)
  for (const item of items) {
    offset = buffer.writeInt32BE(item === null ? -1 : 8, offset)
    if (item !== null) offset = buffer.writeBigInt64BE(BigInt(item), offset)
  }
  return buffer.subarray(0, offset)
}

function writeHeader(buffer: Buffer, elementType: number, items: readonly unknown[]): number {
  let offset = buffer.writeInt32BE(1, 0)
  offset = buffer.writeInt32BE(items.includes(null) ? 1 : 0, offset)
  offset = buffer.writeInt32BE(elementType, offset)
  offset = buffer.writeInt32BE(items.length, offset)
  return buffer.writeInt32BE(1, offset)
}
