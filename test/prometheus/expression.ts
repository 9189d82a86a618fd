/**
 * What of a PromQL expression must have series in a healthy run: alerts compare, and a comparison that is false has none.
 * So an expression is taken apart at comparisons and at `and`, `or`, `unless`, and each operand is looked at by itself. An
 * `or` hides a metric that does not exist, an `unless` one that is empty: taken apart, neither does.
 */

const OPERATOR = /(?:==|!=|<=|>=|<|>)|(?:and|or|unless)\b/y;
const MODIFIERS = /\s*(?:bool\b)?\s*(?:(?:on|ignoring)\s*\([^)]*\)\s*)?(?:group_(?:left|right)\s*(?:\([^)]*\))?)?/y;
const STRING = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/y;

interface Parts {
  readonly operands: string[];
  readonly operators: string[];
  /** What stands in parentheses. */
  readonly groups: string[];
}

/** Matches where the pattern begins at `at`. */
function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

/** Takes apart what stands outside of brackets. */
function partsOf(expression: string): Parts {
  const parts: Parts = { operands: [], operators: [], groups: [] };
  const open: number[] = [];
  let from = 0;
  for (let i = 0; i < expression.length; ) {
    const skipped = matchAt(STRING, expression, i);
    if (skipped !== undefined) {
      i += skipped.length;
      continue;
    }
    const char = expression[i]!;
    if ('([{'.includes(char)) open.push(i);
    if (')]}'.includes(char)) {
      const start = open.pop()!;
      if (open.length === 0 && char === ')') parts.groups.push(expression.slice(start + 1, i));
    }
    const isWithinName = /[\w:]/.test(expression[i - 1] ?? '');
    const operator = open.length === 0 && !isWithinName ? matchAt(OPERATOR, expression, i) : undefined;
    if (operator === undefined) {
      i++;
      continue;
    }
    parts.operators.push(operator);
    parts.operands.push(expression.slice(from, i));
    i += operator.length;
    i += matchAt(MODIFIERS, expression, i)!.length;
    from = i;
  }
  parts.operands.push(expression.slice(from));
  return parts;
}

/** Each operand that has to have series by itself. @throws Error for a comparison within a function or a calculation */
export function operandsOf(expression: string): string[] {
  const { operands, groups } = partsOf(expression.trim());
  if (operands.length > 1) return operands.flatMap(operandsOf);
  const [operand] = operands as [string];
  if (groups.length === 1 && operand === `(${groups[0]})`) return operandsOf(groups[0]!);
  // Within a calculation, `or` stands for a value that may be missing: both are looked at, and the whole.
  const inner = groups.flatMap((group) => {
    const { operators, operands } = partsOf(group);
    if (operators.some((operator) => operator !== 'or'))
      throw new Error(`Compare outside of the calculation: ${operand}`);
    return operators.length > 0 ? operands.flatMap(operandsOf) : [];
  });
  return [operand, ...inner];
}
