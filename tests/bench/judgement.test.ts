import { describe, expect, test } from 'vitest'
import { check } from '../../bench/harness/check.ts'
import { estimate, quantile, randomSource } from '../../bench/harness/statistics.ts'

describe('the interval of a median', () => {
  test('lies around it, within what was measured, and is the same every time', () => {
    const values = [5, 1, 4, 2, 3, 9, 7]
    const { median, low, high } = estimate(values)
    expect(median).toBe(4)
    expect(low).toBeGreaterThanOrEqual(1)
    expect(low).toBeLessThan(4)
    expect(high).toBeGreaterThan(4)
    expect(high).toBeLessThanOrEqual(9)
    expect(estimate(values)).toEqual({ median, low, high })
  })

  test('holds the true median nine times of ten', () => {
    const random = randomSource(7)
    const trials = 400
    let held = 0
    for (let trial = 0; trial < trials; trial++) {
      const { low, high } = estimate(Array.from({ length: 7 }, random))
      if (low <= 0.5 && high >= 0.5) held++
    }
    expect(held / trials).toBeGreaterThan(0.85)
  })

  test('of nothing is an error', () => {
    expect(() => estimate([])).toThrow('Nothing was measured')
  })
})

test('a quantile stands between its neighbours', () => {
  expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5)
  expect(quantile([1, 2, 3, 4], 1)).toBe(4)
})

describe('a verdict', () => {
  const atLeast = { name: 'x', sense: 'at least', must: 2, goal: 3 } as const
  const atMost = { name: 'x', sense: 'at most', must: 2, goal: 1 } as const

  test.each([
    ['goal', atLeast, [3, 4, 5, 4, 3]],
    ['must', atLeast, [2.1, 2.5, 2.6, 2.2, 2.8]],
    ['unsure', atLeast, [1, 1, 2.5, 2.5, 2.5]],
    ['missed', atLeast, [1, 1.5, 1.9, 5, 1]],
    ['goal', atMost, [0.5, 0.9, 0.8, 0.7, 0.6]],
    ['must', atMost, [1.5, 1.6, 1.9, 1.2, 1.8]],
    ['missed', atMost, [3, 4, 5, 2.5, 1]]
  ] as const)('is %s where the must or goal of %o meets %o', (verdict, requirement, values) => {
    expect(check(requirement, values).verdict).toBe(verdict)
  })
})
