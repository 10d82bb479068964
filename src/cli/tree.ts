/** Anything with children. */
export interface Branch<T> {
  children: readonly T[];
}

/** Every node with the line work that stands before it, depth first. */
export function drawTree<T extends Branch<T>>(roots: readonly T[]): { node: T; prefix: string }[] {
  const lines: { node: T; prefix: string }[] = [];
  const draw = (nodes: readonly T[], indent: string) => {
    nodes.forEach((node, i) => {
      const last = i === nodes.length - 1;
      lines.push({ node, prefix: `${indent}${last ? '└─ ' : '├─ '}` });
      draw(node.children, `${indent}${last ? '   ' : '│  '}`);
    });
  };
  for (const root of roots) {
    lines.push({ node: root, prefix: '' });
    draw(root.children, '');
  }
  return lines;
}
