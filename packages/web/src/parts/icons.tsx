/** Small drawings beside words; each says nothing that the word beside it does not say. */
import type { MemberStatus, RunStatus } from '@lockstep/protocol';
import type { ComponentChildren } from 'preact';

function Icon({ children, size = 16 }: { readonly children: ComponentChildren; readonly size?: number }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width={size} height={size} aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

export const Logo = () => (
  <svg class="logo" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true" focusable="false">
    <rect class="logo-ground" width="32" height="32" rx="7" />
    <path class="logo-lines" d="M8 23v-4.5a2 2 0 0 1 2-2h12a2 2 0 0 1 2 2V23M16 16.5V9" />
    <circle cx="8" cy="24" r="3" />
    <circle cx="24" cy="24" r="3" />
    <circle cx="16" cy="8" r="3" />
  </svg>
);

export const Sun = () => (
  <Icon>
    <circle cx="8" cy="8" r="3.2" fill="currentColor" />
    <path
      class="stroke"
      d="M8 1v1.8M8 13.2V15M1 8h1.8M13.2 8H15M3.05 3.05l1.3 1.3M11.65 11.65l1.3 1.3M3.05 12.95l1.3-1.3M11.65 4.35l1.3-1.3"
    />
  </Icon>
);

export const Moon = () => (
  <Icon>
    <path fill="currentColor" d="M13.8 10.3A6.3 6.3 0 0 1 5.7 2.2a6.3 6.3 0 1 0 8.1 8.1Z" />
  </Icon>
);

export const Check = ({ size = 16 }: { readonly size?: number }) => (
  <Icon size={size}>
    <path class="stroke" d="m3 8.5 3.5 3.5L13 4.5" />
  </Icon>
);

export const Cross = ({ size = 16 }: { readonly size?: number }) => (
  <Icon size={size}>
    <path class="stroke" d="m4 4 8 8M12 4l-8 8" />
  </Icon>
);

export const Warning = () => (
  <Icon>
    <path class="stroke" d="M8 2 1.5 13.5h13L8 2Z" />
    <path class="stroke" d="M8 6.5v3.2M8 11.7v.1" />
  </Icon>
);

export const Copy = () => (
  <Icon>
    <rect class="stroke" x="5.5" y="5.5" width="8" height="8" rx="1.5" />
    <path class="stroke" d="M10.5 3A1.5 1.5 0 0 0 9 2.5H4A1.5 1.5 0 0 0 2.5 4v5A1.5 1.5 0 0 0 3 10.5" />
  </Icon>
);

export const Play = () => (
  <Icon>
    <path d="M5 3.2v9.6L12.8 8Z" fill="currentColor" />
  </Icon>
);

export const Stop = () => (
  <Icon>
    <rect x="4" y="4" width="8" height="8" rx="1.5" fill="currentColor" />
  </Icon>
);

/** What a worker does, as a shape: full, half, empty, barred. */
export function MemberIcon({ state }: Pick<MemberStatus, 'state'>) {
  const shapes: Record<MemberStatus['state'], ComponentChildren> = {
    ready: <circle cx="8" cy="8" r="5" fill="currentColor" />,
    joining: [
      <circle key="ring" class="stroke" cx="8" cy="8" r="4.5" />,
      <path key="half" d="M8 3.5a4.5 4.5 0 0 1 0 9Z" fill="currentColor" />,
    ],
    connected: <circle class="stroke" cx="8" cy="8" r="4.5" />,
    quarantined: [
      <circle key="ring" class="stroke" cx="8" cy="8" r="5" />,
      <path key="bar" class="stroke" d="m4.5 11.5 7-7" />,
    ],
  };
  return <Icon size={14}>{shapes[state]}</Icon>;
}

export function StateIcon({ state }: Pick<RunStatus, 'state'>) {
  switch (state) {
    case 'finished':
      return <Check />;
    case 'failed':
      return <Cross />;
    case 'stopped':
      return <Stop />;
    case 'waiting':
      return (
        <Icon>
          <path class="stroke" d="M5.5 3.5v9M10.5 3.5v9" />
        </Icon>
      );
    default:
      return <Play />;
  }
}
