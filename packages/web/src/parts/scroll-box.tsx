/** A box that scrolls by itself, so that the page need not. Whoever has no mouse can focus it, while there is something to scroll. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

interface Props {
  /** Names the box for those who do not see it. */
  readonly label: string;
  readonly class?: string;
  readonly children: ComponentChildren;
}

export function ScrollBox({ label, class: extra = '', children }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [scrolls, setScrolls] = useState(false);
  useEffect(() => {
    const element = box.current!;
    const measure = (): void => {
      const { scrollWidth, clientWidth, scrollHeight, clientHeight } = element;
      setScrolls(scrollWidth > clientWidth || scrollHeight > clientHeight);
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    for (const child of element.children) observer.observe(child);
    return () => observer.disconnect();
  }, []);
  const focusable = scrolls ? { role: 'group' as const, 'aria-label': label, tabIndex: 0 } : {};
  return (
    <div class={`scroll-box ${extra}`} ref={box} {...focusable}>
      {children}
    </div>
  );
}
